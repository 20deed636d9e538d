"""Check the built pages: texts for pictures, nothing from the web, size, links."""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from docs.generator.inventories import addresses

MAX_BYTES = 30_000_000
MAX_PAGE_BYTES = 2_000_000
# Attributes of these elements make a browser load something.
LOADED = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
}
LOADING_LINKS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch"}


class Page(HTMLParser):
    """Collects the problems of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.has_viewport = False
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, found: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in found}
        if tag == "img" and not attributes.get("alt", "").strip():
            self.problems.append(f"no text for the picture {attributes.get('src')}")
        if tag == "meta" and attributes.get("name") == "viewport":
            self.has_viewport = True
        if tag == "a":
            self.links.add(attributes.get("href", ""))
        is_loaded = tag in LOADED and (
            tag != "link" or LOADING_LINKS & set(attributes.get("rel", "").split())
        )
        address = attributes.get(LOADED.get(tag, ""), "")
        if is_loaded and address.startswith(("http:", "https:", "//")):
            self.problems.append(f"loads {address} from the web")


def problems(site: Path) -> Iterator[str]:
    pages = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    if not pages:
        yield f"no pages in {site}"
    links: set[str] = set()
    for path in pages:
        text = path.read_text(encoding="utf-8")
        page = Page()
        page.feed(text)
        links |= page.links
        yield from (f"{path.relative_to(site)}: {line}" for line in page.problems)
        if not page.has_viewport:
            yield f"{path.relative_to(site)}: not made for telephones"
        if len(text) > MAX_PAGE_BYTES:
            yield f"{path.relative_to(site)}: {len(text):,} characters"
    yield from (f"nothing links to {a}" for a in addresses() if a not in links)
    for path in sorted(site.rglob("*.css")):
        style = path.read_text(encoding="utf-8")
        if "url(http" in style or "@import url(" in style or "url(//" in style:
            yield f"{path.relative_to(site)}: loads from the web"
    nbytes = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    if nbytes > MAX_BYTES:
        yield f"the site has {nbytes:,} bytes, at most {MAX_BYTES:,}"


def main() -> int:
    site = Path(sys.argv[1])
    found = list(problems(site))
    print(*found, f"{len(list(site.rglob('*.html')))} pages", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
