"""Settings of the documentation site; `tox -e docs` builds it."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from docs.generator.inventories import ALIASES, mapping

project = "napari-sam"
author = "the napari-sam developers"
project_copyright = "the napari-sam developers, BSD 3-Clause"
release = installed_version("napari-sam")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "docs.generator.extension",
]
root_doc = "index"
templates_path = ["_templates"]
exclude_patterns = ["_templates", "generator", "inventories"]

# Types stand in the docstrings, in words; signatures stay short enough to read.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
# The list of members beside a page is narrow.
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
# Types that have a page are links; the other words stay words.
numpydoc_xref_param_type = True
numpydoc_xref_aliases = ALIASES
numpydoc_xref_ignore = "all"
# The inventories lie in the repository: the site is built without a network.
intersphinx_mapping = mapping()

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# An option is written with two hyphens, and stays so.
smartquotes = False
default_role = "code"
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    # They need a cluster; docs/scale_out.md shows them.
    "ignore_pattern": r"cluster",
    "image_scrapers": ("docs.generator.windows.take_windows",),
    "reset_modules": ("docs.generator.windows.end_of_run",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "thumbnail_size": (400, 280),
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 10_000,
    "remove_config_comments": True,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"napari-sam {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "../src/napari_sam/data/icon.svg"
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "text": "napari-sam",
        "alt_text": "napari-sam, to the first page",
        "image_light": "../src/napari_sam/data/icon.svg",
        "image_dark": "../src/napari_sam/data/icon.svg",
    },
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
