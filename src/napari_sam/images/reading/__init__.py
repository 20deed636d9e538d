"""Image files as arrays with named axes: TIFF, PNG, JPEG, OME-Zarr.

May import `files` and the axes of `images`.
"""
