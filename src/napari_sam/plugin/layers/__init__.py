"""napari layers to arrays and prompts, and back; no Qt.

May import the core.
"""
