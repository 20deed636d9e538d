"""Labels written into an OME-Zarr: their place, their levels, and the writing.

May import what `images` may.
"""
