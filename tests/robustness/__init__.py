"""Damaged files, kills and full disks."""
