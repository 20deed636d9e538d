"""A loaded model answers prompts on one plane.

May import `checkpoints`, `nets`, `masks`, `images`, `prompts`.
"""
