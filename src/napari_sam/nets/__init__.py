"""SAM's networks in plain torch; they know neither files nor names of models.

May import nothing of the package.
"""
