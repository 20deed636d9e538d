"""Masks and label arrays: morphology, clean-up, painting, measurements.

May import `images`, `prompts`, `files`.
"""
