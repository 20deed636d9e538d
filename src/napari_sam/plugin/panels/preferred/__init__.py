"""What the preferences decide: the state of a new panel, and its keys."""
