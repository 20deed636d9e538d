"""The networks of the Segment Anything family, in plain torch."""
