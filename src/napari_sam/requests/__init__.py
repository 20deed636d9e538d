"""One segmentation job as plain data, which runs on any thread.

May import `automatic`, `volume`, `prediction` and below.
"""
