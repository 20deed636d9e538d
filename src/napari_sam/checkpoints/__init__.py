"""From a model name to verified weights in a network.

May import `nets` and `files`.
"""
