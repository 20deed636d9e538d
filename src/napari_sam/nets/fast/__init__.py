"""Inference paths of the networks that work on blocks of the size of the CPU cache.

May import `nets`.
"""
