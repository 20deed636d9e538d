"""Settings of the documentation site; `tox -e docs` builds it."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

project = "napari-sam"
author = "the napari-sam developers"
project_copyright = "the napari-sam developers, BSD 3-Clause"
release = installed_version("napari-sam")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "docs.generator.extension",
]
root_doc = "index"
templates_path = ["_templates"]
exclude_patterns = ["_templates", "generator"]

# Types stand in the docstrings, in words; signatures stay short enough to read.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# An option is written with two hyphens, and stays so.
smartquotes = False
default_role = "code"
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"napari-sam {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "../src/napari_sam/data/icon.svg"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "napari-sam", "image_light": "../src/napari_sam/data/icon.svg"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
