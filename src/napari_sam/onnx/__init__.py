"""Export to ONNX, and decoding without torch.

May import `prediction` and below.
"""
