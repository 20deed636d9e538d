"""Checks of arguments and options: one sentence that names them and says what to give.

Only numpy is imported.
"""
