"""Annotation files of other programs: labels out and in, prompts in.

May import `records` and below.
"""
