"""Objects of a plane from the maps of an instance head, without prompts.

May import `prediction` and below, and `automatic.candidate`.
"""
