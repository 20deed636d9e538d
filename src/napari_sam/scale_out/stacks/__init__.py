"""Jobs on a stack: what their tasks do, where they read, and where labels go.

May import `scale_out.jobs` and all folders below `api`.
"""
