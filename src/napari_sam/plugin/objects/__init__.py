"""The current object, from its prompts to its label.

Objects that were accepted wait here for their results, and steps can be undone.
"""
