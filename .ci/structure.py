"""Check the structure of the package: sizes, circles of imports, large files.

Prints a table of the folders of `src/napari_sam` and fails when a limit is exceeded.
`--report` prints only; `--base REV` also counts the lines of source of a revision.
"""

import argparse
import ast
import io
import subprocess
import sys
import tarfile
import tokenize
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SOURCE = "src/napari_sam"

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_MODULES_PER_FOLDER = 14
MAX_FILE_BYTES = 500_000
PUBLIC_FOLDERS = (".", "segment_anything")
LARGE_FILES = {
    "docs/images/first_object.png",
    "src/napari_sam/data/lite_medsam_clicks.safetensors",
    "tests/data/hf_parity.npz",
    "tests/data/hf_sam_small/model.safetensors",
    "tests/data/hf_sam_small_expected.npz",
    "tests/data/lite_medsam_expected.npz",
    "tests/data/lite_medsam_published.npz",
    "tests/data/sam_small.pth",
    "tests/data/sam_small_expected.npz",
    "tests/data/tiny_vit_lite_small.pth",
    "tests/data/tiny_vit_mobile_small.pth",
}

IGNORED_TOKENS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


class Function(NamedTuple):
    lines: int
    name: str


class Module:
    """One source file: its syntax tree and what is measured on it."""

    def __init__(self, path: str, text: str) -> None:
        self.path = PurePosixPath(path)
        self.text = text
        self.tree = ast.parse(text)

    @property
    def folder(self) -> str:
        return str(self.path.parent.relative_to(SOURCE))

    @property
    def is_init(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def dotted(self) -> str:
        parts = self.path.relative_to("src").with_suffix("").parts
        return ".".join(parts[:-1] if self.is_init else parts)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def source_lines(self) -> int:
        """Lines without blank lines, comments and docstrings."""
        used = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in IGNORED_TOKENS:
                used.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(self.tree):
            docstring = docstring_of(node)
            if docstring is not None:
                used.difference_update(lines_of(docstring))
        return len(used)

    @property
    def longest_function(self) -> Function:
        return max(map(measure, functions(self.tree)), default=Function(0, "-"))

    def imports(self, known: set[str]) -> set[str]:
        """Return the modules of the package that this one imports anywhere."""
        names = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    names.add(inner if inner in known else node.module)
        return (names & known) - {self.dotted}


def docstring_of(node: ast.AST) -> ast.Expr | None:
    if not isinstance(
        node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    ):
        return None
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return first
    return None


def lines_of(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def measure(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    docstring = docstring_of(function)
    documented = 0 if docstring is None else len(lines_of(docstring))
    return Function(len(lines_of(function)) - documented, function.name)


def read_tree() -> list[Module]:
    paths = sorted((ROOT / SOURCE).rglob("*.py"))
    return [
        Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in paths
    ]


def read_revision(revision: str) -> list[Module]:
    archive = git("archive", "--format=tar", revision, SOURCE)
    modules = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            content = files.extractfile(member) if member.isfile() else None
            if content is not None and member.name.endswith(".py"):
                modules.append(Module(member.name, content.read().decode()))
    return modules


def git(*arguments: str) -> bytes:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True
    ).stdout


def find_circles(modules: list[Module]) -> list[list[str]]:
    """Return the groups of modules that import each other (Tarjan's algorithm)."""
    known = {module.dotted for module in modules}
    graph = {module.dotted: module.imports(known) for module in modules}
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            start = stack.index(name)
            group = stack[start:]
            del stack[start:]
            if len(group) > 1:
                circles.append(sorted(group))

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return circles


def folders_of(modules: list[Module]) -> dict[str, list[Module]]:
    folders: dict[str, list[Module]] = {}
    for module in modules:
        if not module.is_init:
            folders.setdefault(module.folder, []).append(module)
    return folders


def print_table(modules: list[Module]) -> None:
    print(f"{'folder':22}{'modules':>8}  {'longest module':32}longest function")
    for folder, inside in sorted(folders_of(modules).items()):
        module = max(inside, key=lambda m: m.lines)
        function = max(m.longest_function for m in inside)
        longest_module = f"{module.lines:4} {module.path.stem}"
        longest_function = f"{function.lines:3} {function.name}"
        print(f"{folder:22}{len(inside):8}  {longest_module:32}{longest_function}")


def module_problems(module: Module) -> Iterator[str]:
    if module.lines > MAX_MODULE_LINES:
        yield f"{module.path}: {module.lines} lines, at most {MAX_MODULE_LINES}"
    for function in map(measure, functions(module.tree)):
        if function.lines > MAX_FUNCTION_LINES:
            yield (
                f"{module.path}: {function.name} has {function.lines} lines "
                f"without its docstring, at most {MAX_FUNCTION_LINES}"
            )
    # Only packages that users import from hold more: they look up names lazily.
    is_public = module.folder in PUBLIC_FOLDERS
    if module.is_init and not is_public and len(module.tree.body) > 1:
        yield f"{module.path}: holds more than a docstring"


def package_problems(modules: list[Module]) -> Iterator[str]:
    for folder, inside in folders_of(modules).items():
        if len(inside) > MAX_MODULES_PER_FOLDER:
            yield (
                f"{SOURCE}/{folder}: {len(inside)} modules, "
                f"at most {MAX_MODULES_PER_FOLDER}"
            )
    for circle in find_circles(modules):
        yield f"circle of imports: {', '.join(circle)}"


def large_files() -> Iterator[str]:
    for name in git("ls-files", "-z").decode().split("\0"):
        path = ROOT / name
        if name not in LARGE_FILES and path.is_file():
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                yield f"{name}: {size} bytes, at most {MAX_FILE_BYTES}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", action="store_true", help="print, never fail")
    parser.add_argument("--base", metavar="REV", help="also count this git revision")
    options = parser.parse_args()
    modules = read_tree()
    print_table(modules)
    print(f"\ncircles of imports: {len(find_circles(modules))}")
    print(f"lines of source: {sum(m.source_lines for m in modules)}")
    if options.base:
        before = sum(m.source_lines for m in read_revision(options.base))
        print(f"lines of source at {options.base}: {before}")
    exceeded = [line for module in modules for line in module_problems(module)]
    exceeded += [*package_problems(modules), *large_files()]
    if exceeded:
        print("\nlimits exceeded:", *exceeded, sep="\n  ")
    return 1 if exceeded and not options.report else 0


if __name__ == "__main__":
    sys.exit(main())
