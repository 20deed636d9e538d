"""Jobs of any kind: their folder, their stages, and what runs the tasks.

May import `files`, `checks` and `optional`; no images and no models.
"""
