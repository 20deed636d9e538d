"""The controls of the widget.

May import the session.
"""
