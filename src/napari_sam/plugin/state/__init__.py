"""State of a session: settings, requests, the pending result, the target. No Qt.

May import `plugin.layers` and the core.
"""
