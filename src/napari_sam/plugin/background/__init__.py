"""One worker thread, watchers of layers, and prefetching.

May import the session.
"""
