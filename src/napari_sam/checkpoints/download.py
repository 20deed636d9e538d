"""Cache folder and verified download of a model's weights.

A file is written to a temporary folder beside its final place and moved when it is
complete, so that a lost connection or a second process never leaves half a file.
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
    SourceError,
    describe_file,
    fetch_from,
    walk_folder,
)
from napari_sam.files import ABANDONED_SECONDS, verify

if TYPE_CHECKING:
    from napari_sam.checkpoints.model_spec import ModelSpec
    from napari_sam.checkpoints.sources import ByteProgress

CACHE_VARIABLE = "NAPARI_SAM_CACHE"
"""Environment variable that names the cache folder."""


class WeightsError(RuntimeError):
    """The weights cannot be downloaded; the message says why and what to do."""


class _CallbackError(BaseException):
    """Carries an exception of the progress callback past all error handlers."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason


def cache_folder() -> Path:
    """Return the folder of the weights, which need not exist yet.

    Returns
    -------
    Path
        The folder named by `NAPARI_SAM_CACHE`, else the platform's cache folder
        for this package; absolute.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("napari-sam", appauthor=False)


def cached_path(spec: ModelSpec) -> Path:
    """Return the path of a model in the cache folder, whether or not it exists."""
    return cache_folder() / spec.file_name


def is_cached(spec: ModelSpec) -> bool:
    """Tell from the file size alone whether the weights are in the cache folder."""
    try:
        size = cached_path(spec).stat().st_size
    except OSError:
        return False
    return size > 0 if spec.size_bytes is None else size == spec.size_bytes


def fetch(spec: ModelSpec, *, progress: ByteProgress | None = None) -> Path:
    """Return a verified local file with the weights of a model.

    A file in the cache folder is used when its hash is right. Otherwise the sources
    are tried in order until a file has the right hash.

    Parameters
    ----------
    spec : ModelSpec
        The model, as from `napari_sam.checkpoints.registry.get_model_spec`.
    progress : callable, optional
        Called often with (bytes done, total bytes or None) during a download, from 0
        for each source. An exception in it cancels the download, removes temporary
        files and reaches the caller.

    Returns
    -------
    Path
        The file in the cache folder.

    Raises
    ------
    WeightsError
        When all sources fail or the cache folder cannot be used.
    """
    try:
        return _fetch(spec, _guarded(progress))
    except _CallbackError as cancelled:
        reason = cancelled.reason
    except OSError as error:
        raise WeightsError(
            f"The cache folder {cache_folder()} cannot hold the weights "
            f"{spec.name!r} ({error.strerror or error}); make it readable and "
            f"writable, with enough space, or set {CACHE_VARIABLE} to another folder."
        ) from error
    raise reason


def _fetch(spec: ModelSpec, progress: ByteProgress) -> Path:
    target = cached_path(spec)
    reasons: list[str] = []
    if target.is_file():
        if verify(target, spec.hash):
            return target
        damage = describe_file(target, spec)
        reasons.append(f"the file in the cache is damaged, {damage}")
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    failures: list[SourceError] = []
    for source in spec.sources:
        # A folder for each attempt: two processes never use the same name, and its
        # removal includes all files of a source, such as those of pip.
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}.",
            suffix=".part",
            dir=target.parent,
            ignore_cleanup_errors=True,
        ) as workspace:
            part = Path(workspace, target.name)
            try:
                fetch_from(source, spec, part, progress)
            except SourceError as failure:
                failures.append(failure)
                continue
            _move(part, target, spec)
            return target
    reasons += map(str, failures) if failures else ["it has no sources"]
    cause = ExceptionGroup(f"sources of {spec.name!r}", failures) if failures else None
    raise WeightsError(_manual_instructions(spec, target, reasons)) from cause


def _move(part: Path, target: Path, spec: ModelSpec) -> None:
    try:
        os.replace(part, target)
    except PermissionError:
        # Windows does not replace a file that another process already reads, which
        # is fine when it is the same file.
        if not (target.is_file() and verify(target, spec.hash)):
            raise


def _remove_abandoned(target: Path) -> None:
    """Remove temporary folders of killed processes, unchanged for a day."""
    now = time.time()
    for folder in target.parent.glob(f".{target.name}.*.part"):
        newest = max((status.st_mtime for status in walk_folder(folder)), default=now)
        if now - newest > ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _guarded(progress: ByteProgress | None) -> ByteProgress:
    """Wrap a callback: its numbers never decrease, and its exceptions always cancel."""
    largest = 0

    def report(done: int, total: int | None) -> None:
        nonlocal largest
        if progress is None:
            return
        largest = max(done, largest) if done else 0
        try:
            progress(largest if total is None else min(largest, total), total)
        except BaseException as reason:
            raise _CallbackError(reason) from reason

    return report


def _manual_instructions(spec: ModelSpec, target: Path, reasons: list[str]) -> str:
    """Say what failed and how to get the file by hand."""
    size = "" if spec.size_bytes is None else f"{spec.size_bytes:,} bytes, "
    urls = [source.url for source in spec.sources if isinstance(source, UrlSource)]
    page = urls[0] if urls else f"{spec.file_name} of {spec.origin}"
    return (
        f"Could not get the weights {spec.name!r} ({'; '.join(reasons)}); download "
        f"{page} on another machine and place the file ({size}{spec.hash}) at {target}."
    )
