"""The argument parser of the command line.

May import the modules of `cli` that add options of their own.
"""
