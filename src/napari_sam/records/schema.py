"""What an entry of a record must be, so that nothing else is made of it."""

from __future__ import annotations

from typing import Any

from napari_sam.checks.schema import misfit
from napari_sam.masks.painting import POLICIES


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value != ""


def _is_policy(value: Any) -> bool:
    return isinstance(value, str) and value in POLICIES


def _is_plane(value: Any) -> bool:
    """Whether it names a plane: two axes are its rows and columns."""
    if not isinstance(value, list | tuple) or misfit(value, [_INDEX]) is not None:
        return False
    return value.count(None) == 2


_INDEX = (None, int)
_LIMITS = (None, [float, float], [[float, float]])
_MODEL = {"name": _is_name, "key": _is_name, "family?": str, "path?": _is_name}
_CHANNEL = {"axis": _INDEX, "index": int, "own": bool}
_PROJECTION = (None, {"mode": str, "margins": [[_is_count, _is_count]]})
_GRID = {
    "shape": [_is_count],
    "image_ndim": _is_count,
    "matrix": [[float]],
    "extra": [int],
}
_SEARCH = {
    "options": dict,
    "thresholds": dict,
    "region": (None, dict),
    "linking?": dict,
    "planes?": _is_count,
}
_CLEANED = {"label": int, "cleanup": dict, "axis": _INDEX, "fixed": {str: int}}
VIEW = {
    "intensity": {"limits": _LIMITS},
    "channels": [_CHANNEL],
    "projection?": _PROJECTION,
    "shape": [_is_count],
    "rgb": bool,
    "levels": _is_count,
}
_WINDOW = (None, [int, int, int, int])
_SCORE = {"index": _INDEX, "status": str, "score": (None, float)}
ENTRY = {
    "commit": _is_count,
    "label": int,
    "object": int,
    "region": [[_is_count, _is_count]],
    "checksum": str,
    "first_label?": int,
    "replaced?": [int],
    "policy?": _is_policy,
    "dtype?": str,
    "grid?": _GRID,
    "model?": _MODEL,
    "plane?": _is_plane,
    "axis?": int,
    "spacing?": (None, [float]),
    "prompts?": {str: dict},
    "painted?": {str: dict},
    "scores?": [_SCORE],
    "windows?": [_WINDOW],
    "size?": (None, str),
    "zoom?": (str, float),
    "options?": dict,
    "cleanup?": dict,
    "corrects_clicks?": bool,
    "everything?": _SEARCH,
    "cleaned?": _CLEANED,
    **{f"{name.removesuffix('?')}?": part for name, part in VIEW.items()},
}


def misfit_of_entries(entries: Any) -> str | None:
    """Find where the entries of a label do not fit; None when all of them do."""
    return misfit(entries, [ENTRY])
