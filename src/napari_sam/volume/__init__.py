"""Propagation of objects through a stack.

May import `prediction` and below.
"""
