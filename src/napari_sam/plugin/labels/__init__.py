"""Work on labels that are written: correct, clean up and measure them. No Qt.

Each job is computed on any thread and applied on the main thread, as one undo step.
"""
