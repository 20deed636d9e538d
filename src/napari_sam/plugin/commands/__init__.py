"""Commands of the plugin in napari's command palette and menus.

Each acts on the panel of a viewer. Importing them imports neither torch nor the panel.
"""
