"""Agreement with the published implementations."""
