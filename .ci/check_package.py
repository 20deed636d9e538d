"""Build wheel and sdist twice, and check them: contents, size, metadata, links.

`tox -e package` runs this. Files go to dist/.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
MAX_BYTES = {".whl": 10_000_000, ".gz": 10_000_000}
NEEDED = {
    "napari.yaml",
    "py.typed",
    "data/icon.svg",
    "data/head.npz",
    "data/head.LICENSE",
}
NEEDED_KEYS = ("Summary", "License-Expression", "Requires-Python", "Author")
LINKS = {"Homepage", "Documentation", "Source", "Issues", "Changelog"}


def build(folder: Path) -> list[Path]:
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return sorted(folder.iterdir())


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def problems(first: list[Path], second: list[Path]) -> Iterator[str]:
    for one, other in zip(first, second, strict=True):
        if hash_of(one) != hash_of(other):
            yield f"{one.name} is not the same when it is built again"
        if one.stat().st_size > MAX_BYTES[one.suffix]:
            yield f"{one.name} has {one.stat().st_size:,} bytes"
    wheel = next(path for path in first if path.suffix == ".whl")
    yield from wheel_problems(wheel)
    with tarfile.open(next(path for path in first if path.suffix == ".gz")) as files:
        names = files.getnames()
    for name in ("README.md", "LICENSE", "NOTICE", "CHANGELOG.md"):
        if not any(entry.endswith(f"/{name}") for entry in names):
            yield f"the sdist lacks {name}"


def wheel_problems(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    source = ROOT / "src" / "napari_sam"
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    for name in sorted(
        (modules | NEEDED) - {n.removeprefix("napari_sam/") for n in names}
    ):
        yield f"the wheel lacks {name}"
    folders = {name.partition("/")[0] for name in names} - {"napari_sam"}
    if len(folders) != 1:
        yield f"the wheel has more than the package: {folders}"
    headers = HeaderParser().parsestr(text)
    for key in NEEDED_KEYS:
        if not headers[key]:
            yield f"the metadata lack {key}"
    found = {line.partition(",")[0] for line in headers.get_all("Project-URL", [])}
    if LINKS - found:
        yield f"the metadata lack the links {LINKS - found}"
    if "Framework :: napari" not in headers.get_all("Classifier", []):
        yield "without the classifier 'Framework :: napari' the hub does not find it"
    readme = text.partition("\n\n")[2]
    local = re.findall(r"\]\((?!https?:|#)([^)]+)\)", readme)
    if local:
        yield f"links of the README that only work in the repository: {local}"


def main() -> int:
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        found = list(problems(build(DIST), build(Path(folder))))
    print(
        *(f"{path.name}: {path.stat().st_size:,} bytes" for path in DIST.iterdir()),
        sep="\n",
    )
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
