"""Fine-tuning of models on one's own labels.

May import `prediction`, `huggingface`, `checkpoints` and below.
"""
