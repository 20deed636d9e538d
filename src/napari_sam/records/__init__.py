"""Provenance of labels: write, read and replay it.

May import `requests` and below.
"""
