"""Automatic segmentation of a plane, and linking of its objects through a stack.

May import `prediction` and below.
"""
