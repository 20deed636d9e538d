"""What the user is doing now: settings, the pending result, the target; no Qt.

May import `plugin.layers` and the core.
"""
