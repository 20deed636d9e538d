"""Benchmarks: quality, speed and parity; README.md lists them."""
