"""The interface of transformers' SAM: model, processor and configuration.

May import `prediction.plane_transform`, `checkpoints`, `nets`.
"""
