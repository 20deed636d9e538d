"""The dock *Job progress*: how far a job in a folder is, wherever it runs.

May import all of the plugin below it, and `scale_out`.
"""
