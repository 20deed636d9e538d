"""Fine-tuning of models on one's own labels.

May import `automatic`, `huggingface`, `prediction`, `checkpoints` and below.
"""
