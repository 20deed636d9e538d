"""Modules of segment-anything's package of the same name, for its import lines."""
