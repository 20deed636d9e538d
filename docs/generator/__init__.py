"""Parts of the site that are made from the code, and checks of the built pages."""
