"""Masks for prompts on one plane, predicted by a loaded model.

May import `checkpoints`, `nets`, `masks`, `images`, `prompts`.
"""
