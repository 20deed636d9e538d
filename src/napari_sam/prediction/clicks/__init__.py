"""Clicks: how points are answered, ranked and corrected.

`candidates` collects masks from a click decoder, the instances of the window and boxes,
`quality` ranks them, and `corrections` changes a mask by further points. Models that
know boxes only answer points by `point_search`.
"""
