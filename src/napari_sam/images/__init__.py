"""Image files, and one plane or stack of any image as uint8 pixels.

May import `files`.
"""
