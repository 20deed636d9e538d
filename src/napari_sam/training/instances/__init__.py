"""Training of instance heads on label images.

May import `automatic`, `prediction` and below, and `training.data`, `training.options`.
"""
