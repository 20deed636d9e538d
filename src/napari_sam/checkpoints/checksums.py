"""Hashes of files: what was published, and what a file has."""

from __future__ import annotations
