"""Jobs: a segmentation as a folder of small tasks that any engine may run.

May import all folders below `api`; dask, zarr and yaozarrs only when they are used.
"""
