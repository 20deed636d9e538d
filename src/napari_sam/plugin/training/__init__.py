"""The dock widget that trains a model on labels of the viewer.

May import `plugin.background`, `plugin.panels`.
"""
