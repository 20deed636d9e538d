"""Buttons that correct labels."""
