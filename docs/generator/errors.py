"""The error sentences of the package, from its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[2] / "src" / "napari_sam"

# {folder or module: heading}, in the order of the page.
TOPICS = {
    "prompts": "Points, boxes and files of prompts",
    "images": "Image files, axes and contrast",
    "checkpoints": "Models and weights",
    "checks": "Arguments of functions",
    "prediction": "Prediction",
    "automatic": "Everything",
    "volume": "Stacks",
    "masks": "Labels and masks",
    "plugin": "In napari",
    "series": "Series of images",
    "exchange": "Annotation files of other programs",
    "records": "Records",
    "requests": "Jobs",
    "training": "Training",
    "cli": "Command line",
    "onnx": "ONNX",
    "huggingface": "The interface of Hugging Face",
    "segment_anything": "The interface of segment-anything",
    "nets": "Networks and devices",
}
OTHERS = "Files, memory and extras"
_WORD, _FEW = re.compile(r"[^\W\d_]{2,}"), 3
# The cure follows the first colon outside quotation marks that words stand before.
_CURE = re.compile(r"([^:]*[^\W\d_]{2}[^:]*): (?=[a-z])(.*)")


class Sentence(NamedTuple):
    """What an error says; an ellipsis stands for a value."""

    kind: str
    problem: str
    cure: str


def sentences() -> dict[str, list[Sentence]]:
    """Return {heading: error sentences}, without repetitions."""
    found: dict[str, dict[Sentence, None]] = {t: {} for t in (*TOPICS.values(), OTHERS)}
    for path in sorted(SOURCE.rglob("*.py")):
        folder = path.relative_to(SOURCE).parts[0]
        heading = TOPICS.get(folder, OTHERS)
        for sentence in _raised(ast.parse(path.read_text(encoding="utf-8"))):
            found[heading][sentence] = None
    return {heading: list(unique) for heading, unique in found.items() if unique}


def errors_page() -> str:
    """Write a list of what each error says and what to do."""
    lines: list[str] = []
    for heading, group in sentences().items():
        lines += [f"## {heading}", ""]
        for sentence in sorted(group, key=_first_letters):
            cure = f" → *{_literal(sentence.cure)}*" if sentence.cure else ""
            lines.append(f"- {_literal(sentence.problem)}{cure}")
        lines.append("")
    return "\n".join(lines)


def _first_letters(sentence: Sentence) -> str:
    return "".join(filter(str.isalpha, sentence.problem)).lower()


def _raised(tree: ast.Module) -> Iterator[Sentence]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        name = ast.unparse(node.exc.func)
        text = _text(node.exc.args[0]) if node.exc.args else ""
        # A sentence ends; what does not is a part of one, or for programmers.
        if text.endswith(".") and len(_WORD.findall(text)) >= _FEW:
            match = _CURE.fullmatch(text)
            yield Sentence(name, *(match.groups() if match else (text, "")))


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    return "…" if isinstance(node, ast.FormattedValue) else ""


def _literal(text: str) -> str:
    for sign in "\\*_[]<>{}|$`#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
