"""Sphinx extension: directives for generated parts, and links out of the site."""

from pathlib import Path
from typing import Any

from docs.generator.commands import commands_page
from docs.generator.errors import errors_page
from docs.generator.links import rewrite
from docs.generator.tables import keys_page, models_page
from docs.generator.windows import start_display
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
PARTS = {
    "commands": commands_page,
    "errors": errors_page,
    "keys": keys_page,
    "models": models_page,
}


class Generated(SphinxDirective):
    """Insert a part that is made from the code."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return insert(self, PARTS[self.arguments[0]]())


class RepositoryFile(SphinxDirective):
    """Insert a Markdown file from elsewhere in the repository."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = ROOT / self.arguments[0]
        self.env.note_dependency(str(path))
        folder = path.parent.relative_to(ROOT).as_posix()
        return insert(self, rewrite(path.read_text(encoding="utf-8"), folder))


def insert(directive: SphinxDirective, text: str) -> list[nodes.Node]:
    """Parse Markdown with headings in the place of a directive."""
    return directive.parse_text_to_nodes(text, allow_section_headings=True)


def rewrite_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let the links of documents that are also read elsewhere work on the site."""
    if app.env.doc2path(docname, base=False).suffix == ".md":
        folder = (Path("docs") / docname).parent.as_posix()
        source[0] = rewrite(source[0], folder)


def describe_pictures(_: Sphinx, doctree: nodes.document) -> None:
    """Give thumbnails a text, and let pictures of windows open in full size."""
    for image in doctree.findall(nodes.image):
        if image["uri"].startswith("images/"):
            image.setdefault("width", "100%")  # a picture with a width is a link
        name = Path(image["uri"]).stem
        if name.startswith("sphx_glr_") and not image.get("alt"):
            title = name.removeprefix("sphx_glr_").removesuffix("_thumb")
            image["alt"] = f"Result of the example: {title.replace('_', ' ')}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives, and start a display for the examples."""
    start_display()
    app.add_directive("generated", Generated)
    app.add_directive("repository-file", RepositoryFile)
    app.connect("source-read", rewrite_links)
    app.connect("doctree-read", describe_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
