"""The dock for fine-tuning on the labels of the viewer.

May import `plugin.background`, `plugin.panels`.
"""
