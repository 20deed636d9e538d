"""Runs that try to break what is kept on disk."""
