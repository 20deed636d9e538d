"""What a series keeps on disk: its own file, states, locks; the list of its images."""
