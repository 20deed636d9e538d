"""The state of one image of a series, as its JSON file holds it."""

from __future__ import annotations

import getpass
import math
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from napari_sam.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Status = Literal["new", "started", "done", "needs review", "skipped"]
STATUSES: tuple[Status, ...] = get_args(Status)
FORMAT = 1
_NUMBER = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an image file was like when it was annotated.

    Parameters
    ----------
    size : int
        Bytes.
    modified : int
        Time of the last change, in nanoseconds.
    hash : str
        Of the content.
    """

    size: int
    modified: int
    hash: str


@dataclass(frozen=True, slots=True)
class ItemState:
    """State of one image.

    Parameters
    ----------
    status : str
        "new", "started", "done", "needs review" or "skipped".
    note : str
        What a user writes about the image.
    problem : str
        Why the last attempt to segment it failed; empty when it did not.
    reviewer : str
        Name of the user that set the status.
    updated : str
        Time of the last change, ISO 8601.
    seconds : float
        Time spent on the image so far.
    classes : mapping
        {label: name of its class}.
    objects : int, optional
        Number of labels; None when they were not counted.
    fingerprint : Fingerprint, optional
        The image file when its labels were written; None without labels, and for
        folders (OME-Zarr).
    """

    status: Status = "new"
    note: str = ""
    problem: str = ""
    reviewer: str = ""
    updated: str = ""
    seconds: float = 0.0
    classes: Mapping[int, str] = field(default_factory=dict)
    objects: int | None = None
    fingerprint: Fingerprint | None = None

    def changed(self, **values: Any) -> Self:
        """Return the state with other values, and the time and name of the user."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return replace(self, updated=now, reviewer=user_name(), **values)

    def write(self, path: Path, image: str) -> None:
        """Write the state of an image of this name, atomically."""
        values = asdict(self)
        values["classes"] = {str(label): name for label, name in self.classes.items()}
        write_json(path, {"format": FORMAT, "image": image, **values})

    @classmethod
    def read(cls, path: Path, image: str) -> Self:
        """Read the state of an image of this name.

        Raises
        ------
        ValueError
            When the file is damaged, of a later version or of another image.
        OSError
            When it cannot be read.
        """
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"{path} is not the state of an image: restore or delete.")
        version, name = content.get("format"), content.get("image")
        if version != FORMAT:
            raise ValueError(
                f"{path} has format {version!r}, this version reads format {FORMAT}: "
                "install a newer napari-sam, or delete the file."
            )
        if name != image:
            raise ValueError(
                f"{path} is the state of the image {name!r}, not of {image!r}: rename "
                "one of the images."
            )
        try:
            return cls(**_values(content))
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path} is damaged ({error}): restore or delete the file."
            ) from error


def _values(content: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a state, checked."""
    texts = {name: content.get(name, "") for name in ("note", "problem", "reviewer")}
    texts["updated"] = content.get("updated", "")
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("a text is none")
    classes = content.get("classes", {})
    if not all(_NUMBER.fullmatch(n) and isinstance(c, str) for n, c in classes.items()):
        raise ValueError("classes are not of the form {label: name}")
    seconds = float(content.get("seconds", 0))
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"seconds is {seconds}")
    objects = content.get("objects")
    if objects is not None and (type(objects) is not int or objects < 0):
        raise ValueError(f"objects is {objects!r}")
    stored = content.get("fingerprint")
    return {
        **texts,
        "status": check_status(content.get("status", "new")),
        "seconds": seconds,
        "classes": {int(label): name for label, name in classes.items()},
        "objects": objects,
        "fingerprint": None if stored is None else Fingerprint(**stored),
    }


def check_status(status: Any) -> Status:
    """Return a status.

    Raises
    ------
    ValueError
        When it is none.
    """
    if status not in STATUSES:
        raise ValueError(
            f"The status {status!r} is unknown: give one of {', '.join(STATUSES)}."
        )
    found: Status = status
    return found


def user_name() -> str:
    """Return the name of the user; empty when the system does not tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
