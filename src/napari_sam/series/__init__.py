"""Series of images in folders: their files, states, classes and batches.

May import all folders but `cli` and `plugin`.
"""
