"""The error sentences of the package, from its source."""

import re
from typing import NamedTuple

from docs.generator.raises import SOURCE, said_by_raises

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
# The cure follows the first colon outside quotation marks that words stand before.
_CURE = re.compile(r"([^:]*[^\W\d_]{2}[^:]*): (?=[a-z])(.*)")


class Sentence(NamedTuple):
    """What an error says; an ellipsis stands for a value."""

    problem: str
    cure: str


def sentences() -> dict[str, list[Sentence]]:
    """Return {heading: error sentences}, without repetitions."""
    found: dict[str, dict[Sentence, None]] = {t: {} for t in (*TOPICS.values(), OTHERS)}
    for path, said in said_by_raises().items():
        heading = TOPICS.get(path.relative_to(SOURCE).parts[0], OTHERS)
        for text in (text for texts in said.values() for text in texts):
            match = _CURE.fullmatch(text)
            found[heading][Sentence(*(match.groups() if match else (text, "")))] = None
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


def _literal(text: str) -> str:
    for sign in "\\*_[]<>{}|$`#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
