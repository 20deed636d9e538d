"""Bring a model's weights to this machine and prove that they are the right ones.

One function does the work: `fetch` returns a local file whose hash was checked,
from the cache folder or from the first of the model's sources that gives it.
Everything is written beside its final place under a name of its own and moved
there only when complete, so neither a lost connection nor a second process leaves
a half-written file behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.checkpoints.model_spec import UrlSource
from napari_sam.checkpoints.sources import (
    Progress,
    SourceError,
    bring,
    describe,
    entries,
)
from napari_sam.files import hash_file, verify

if TYPE_CHECKING:
    from napari_sam.checkpoints.model_spec import ModelSpec

__all__ = [
    "CACHE_VARIABLE",
    "Progress",
    "WeightsError",
    "cache_folder",
    "cached_path",
    "fetch",
    "hash_file",
    "is_cached",
    "verify",
]

CACHE_VARIABLE = "NAPARI_SAM_CACHE"
"""Environment variable that names the cache folder."""

_ABANDONED_SECONDS = 24 * 60 * 60


class WeightsError(RuntimeError):
    """The weights could not be had; the message says why and what to do."""


class _Stopped(BaseException):
    """Carries what the progress callback raised past every error handler."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason


def cache_folder() -> Path:
    """Tell where weights are kept; the folder need not exist yet.

    Returns
    -------
    pathlib.Path
        The folder named by `NAPARI_SAM_CACHE`, else the platform's cache folder
        for this package; absolute.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("napari-sam", appauthor=False)


def cached_path(spec: ModelSpec) -> Path:
    """Tell where the weights of a model are, or would be, in the cache folder.

    Parameters
    ----------
    spec : ModelSpec
        The model.

    Returns
    -------
    pathlib.Path
        An absolute path, whether or not there is a file.
    """
    return cache_folder() / spec.file_name


def is_cached(spec: ModelSpec) -> bool:
    """Tell at a glance whether the weights are there, without reading them.

    Parameters
    ----------
    spec : ModelSpec
        The model.

    Returns
    -------
    bool
        Whether the file exists with the size it should have; `fetch` looks
        closer.
    """
    try:
        size = cached_path(spec).stat().st_size
    except OSError:
        return False
    return size > 0 if spec.size_bytes is None else size == spec.size_bytes


def fetch(spec: ModelSpec, *, progress: Progress | None = None) -> Path:
    """Return a local file with the weights of a model, verified.

    A good file in the cache folder is used as it is, and read in full to know
    that it is good. Otherwise each source is tried in order, and the first file
    with the right hash takes its place.

    Parameters
    ----------
    spec : ModelSpec
        The model, as from `napari_sam.checkpoints.registry.get_model_spec`.
    progress : callable, optional
        Called often with (bytes done, bytes in all or None) while a file is on
        its way, starting again from 0 for each source. Whatever it raises stops
        the download, leaves no files and reaches the caller.

    Returns
    -------
    pathlib.Path
        The file in the cache folder.

    Raises
    ------
    WeightsError
        If no source gives the file or the cache folder cannot be used.
    """
    try:
        return _fetch(spec, _reporter(progress))
    except _Stopped as stopped:
        reason = stopped.reason
    except OSError as error:
        raise WeightsError(
            f"The cache folder {cache_folder()} cannot hold the weights "
            f"{spec.name!r} ({error.strerror or error}); make it readable and "
            f"writable, with enough space, or set {CACHE_VARIABLE} to another folder."
        ) from error
    raise reason


def _fetch(spec: ModelSpec, report: Progress) -> Path:
    target = cached_path(spec)
    damage = None
    if target.is_file():
        if verify(target, spec.hash):
            return target
        damage = describe(target, spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    failures: list[SourceError] = []
    for source in spec.sources:
        # A folder of its own per attempt: two processes never share a name, and
        # removing it removes whatever a source left, pip's files included.
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}.",
            suffix=".part",
            dir=target.parent,
            ignore_cleanup_errors=True,
        ) as workspace:
            part = Path(workspace, target.name)
            try:
                bring(source, spec, part, report)
            except SourceError as failure:
                failures.append(failure)
                continue
            _place(part, target, spec)
            return target
    cause = ExceptionGroup(f"sources of {spec.name!r}", failures) if failures else None
    raise WeightsError(_advice(spec, target, damage, failures)) from cause


def _place(part: Path, target: Path, spec: ModelSpec) -> None:
    try:
        os.replace(part, target)
    except PermissionError:
        # Windows refuses to replace a file that another process, which was
        # faster, already reads. Its file is as good as ours.
        if not (target.is_file() and verify(target, spec.hash)):
            raise


def _remove_abandoned(target: Path) -> None:
    """Remove what a killed process left, and nothing a living one may write."""
    now = time.time()
    for folder in target.parent.glob(f".{target.name}.*.part"):
        newest = max((entry.st_mtime for entry in entries(folder)), default=now)
        if now - newest > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _reporter(progress: Progress | None) -> Progress:
    """Wrap a callback so that it sees no step back and is always able to stop."""
    reached = 0

    def report(done: int, total: int | None) -> None:
        nonlocal reached
        if progress is None:
            return
        reached = max(done, reached) if done else 0
        try:
            progress(reached if total is None else min(reached, total), total)
        except BaseException as reason:
            raise _Stopped(reason) from reason

    return report


def _advice(
    spec: ModelSpec, target: Path, damage: str | None, failures: list[SourceError]
) -> str:
    """Say in one sentence what failed and how to get the file by hand."""
    reasons = "; ".join(map(str, failures)) or "it has no sources"
    if damage is not None:
        reasons = f"the file in the cache is damaged, {damage}; {reasons}"
    size = "" if spec.size_bytes is None else f"{spec.size_bytes:,} bytes, "
    urls = [source.url for source in spec.sources if isinstance(source, UrlSource)]
    page = urls[0] if urls else f"{spec.file_name} of {spec.origin}"
    return (
        f"Could not get the weights {spec.name!r} ({reasons}); download {page} on "
        f"another machine and place the file ({size}{spec.hash}) at {target}."
    )
