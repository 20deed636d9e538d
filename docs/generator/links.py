"""Links of Markdown files that leave the folder of the site."""

import posixpath
import re

REPOSITORY = "https://github.com/napari-sam/napari-sam"

# Files of the repository that are pages of the site.
PAGES = {
    "CHANGELOG.md": "contribute/changelog.md",
    "CODE_OF_CONDUCT.md": "contribute/code-of-conduct.md",
    "CONTRIBUTING.md": "contribute/contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "contribute/security.md",
    "docs/adr": "contribute/decisions.md",
    "training/MODEL_CARD.md": "explain/click-decoder.md",
    "training/INSTANCE_HEAD.md": "explain/instance-head.md",
}
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")


def rewrite(text: str, folder: str) -> str:
    """Point links at pages of the site, or at the repository.

    Parameters
    ----------
    text : str
        Markdown of a file.
    folder : str
        The folder of the file, from the root of the repository.
    """

    def target(match: re.Match[str]) -> str:
        link, anchor = match[1], match[2] or ""
        path = posixpath.normpath(posixpath.join(folder, link.lstrip("<").rstrip(">")))
        if link.startswith("/"):
            return match[0]
        if path in PAGES:
            return f"](/{PAGES[path]}{anchor})"
        if path.startswith("docs/"):
            return f"](/{path.removeprefix('docs/')}{anchor})"
        return f"]({REPOSITORY}/blob/main/{path}{anchor})"

    return _LINK.sub(target, text)
