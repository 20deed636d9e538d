"""SAM's networks in plain torch, without files, registries or hubs.

May import nothing else of the package.
"""
