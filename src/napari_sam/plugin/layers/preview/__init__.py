"""The picture of the preview: colours, drawing, and the part of the plane it covers.

May import the core and the other modules of `layers`, except the preview layer.
"""
