"""Model, processors and configuration with the interface of transformers' SAM.

May import `prediction` and below; uses `prediction.plane_transform` of it.
"""
