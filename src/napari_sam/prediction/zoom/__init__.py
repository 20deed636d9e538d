"""Zoom: objects of any size, segmented in windows of the plane that fit them.

A network sees a fixed number of pixels a side, so that small objects of a large plane
are lost in it. `choice` picks windows for a prompt, `grid` puts them where neighbours
share them, and `answers` asks the model and picks the best answer.
"""
