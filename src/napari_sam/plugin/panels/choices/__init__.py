"""Combo boxes of layers, models and axes.

May import the session.
"""
