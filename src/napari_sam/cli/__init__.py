"""The command line `napari-sam`.

May import everything except `plugin`.
"""
