"""Everything that knows napari: layers, session, worker, widget, sample data."""
