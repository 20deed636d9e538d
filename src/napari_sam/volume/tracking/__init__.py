"""Tracking of one object from slice to slice."""
