"""Tables of models, buttons, keys and preferences, from the code."""

from collections.abc import Iterable, Sequence
from importlib.resources import files

import yaml

from napari_sam.checkpoints.model_spec import ModelSpec
from napari_sam.checkpoints.registry import ADVICE, DEFAULT_MODEL, MODELS
from napari_sam.files import MEGABYTE
from napari_sam.plugin.panels.buttons import BUTTONS
from napari_sam.plugin.panels.key_bindings import POLARITY, UNDO


def models_page() -> str:
    """Write what there is to choose from, and the details of each file."""
    advice = [
        (kind, *(f"`{name}`" for name in names)) for kind, names in ADVICE.items()
    ]
    rows = [
        (f"`{m.name}`", m.purpose, _size(m), m.speed, _prompts(m), m.licence)
        for m in MODELS.values()
    ]
    rows[0] = (f"`{DEFAULT_MODEL}` (default)", *rows[0][1:])
    heads = ("name", "for", "size", "speed", "trained on", "licence")
    details = [
        (m.title, f"<{m.origin}>", f"`{m.file_name}`", f"`{m.hash}`")
        for m in MODELS.values()
    ]
    parts = [
        "## Which one to try",
        table(("images", "model to try first", "then"), advice),
        "## All models",
        table(heads, rows),
        "## Files and their hashes",
        "A file with another hash is refused.",
        table(("model", "trained by", "file", "hash"), details),
    ]
    return "\n\n".join(parts)


def keys_page() -> str:
    """Write the keys, all buttons, and the preferences."""
    keys = [(f"**{b.key}**", b.text, b.tooltip) for b in BUTTONS.values() if b.key]
    keys.insert(
        3,
        (
            f"**{POLARITY}**",
            f"{BUTTONS['positive'].text} / {BUTTONS['negative'].text}",
            "Switch between points on the object and points on the background",
        ),
    )
    undo = UNDO.replace("Control-", "Ctrl+")
    text = "On the layers of prompts: take back the last prompt, accept or discard"
    keys.append((f"**{undo}**", "", text))
    buttons = [(b.text, b.tooltip) for b in BUTTONS.values()]
    manifest = yaml.safe_load((files("napari_sam") / "napari.yaml").read_text("utf-8"))
    contributions = manifest["contributions"]
    preferences = [
        (group["title"], entry["title"], f"`{entry['default']}`", _description(entry))
        for group in contributions["configurations"].values()
        for entry in group["properties"].values()
    ]
    actions = [
        (command["title"], f"`{command['id']}`")
        for command in contributions["commands"]
    ]
    parts = [
        "## Keys",
        table(("key", "button", "what it does"), keys),
        "## Buttons",
        table(("button", "what it does"), buttons),
        "## Commands of the plugin",
        "Menus and the command palette of napari have these.",
        table(("command", "id"), actions),
        "## Preferences",
        table(("group", "preference", "default", "what it does"), preferences),
    ]
    return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _description(entry: dict[str, str]) -> str:
    return entry.get("description", "The key of this action")


def _prompts(model: ModelSpec) -> str:
    return ", ".join(sorted(model.prompts))


def _size(model: ModelSpec) -> str:
    return f"{model.size_bytes / MEGABYTE:.0f} MB" if model.size_bytes else "not stated"
