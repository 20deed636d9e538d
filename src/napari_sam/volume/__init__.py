"""Propagation of objects through a stack from prompted slices.

May import `prediction` and below.
"""
