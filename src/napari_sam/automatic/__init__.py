"""All objects of a plane without prompts, and their linking through a stack.

May import `prediction` and below.
"""
