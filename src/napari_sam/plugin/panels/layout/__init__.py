"""Parts of the panel that fold, scroll and stay aligned.

They know no session.
"""
