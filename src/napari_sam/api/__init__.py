"""Functions for scripts: arrays in, label arrays out.

May import all folders but `cli` and `plugin`.
"""
