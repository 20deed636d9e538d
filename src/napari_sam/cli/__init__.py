"""The command line.

May import everything but `plugin`.
"""
