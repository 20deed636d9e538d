"""Inference paths that work on blocks of the cache's size.

May import `nets`.
"""
