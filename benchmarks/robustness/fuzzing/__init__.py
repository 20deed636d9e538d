"""Parts of `benchmarks.robustness.fuzz`: damaged files, readers, limits."""
