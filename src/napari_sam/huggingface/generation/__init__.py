"""Automatic masks with the interface of transformers' pipeline."""
