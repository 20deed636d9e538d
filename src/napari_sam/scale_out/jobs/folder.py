"""The folder of a job: its plan, what its tasks wrote, and which of them failed."""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_sam.files import atomic_write, read_json, remove_abandoned, write_json
from napari_sam.scale_out.jobs.array_file import (
    DamagedArraysError,
    read_arrays,
    write_arrays,
)
from napari_sam.scale_out.jobs.failures import describe_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

PLAN = "plan.json"
_FAILED, _DIGEST = "failed", "digest"
# Files of one folder: many thousands are slow, above all over a network.
_PER_FOLDER = 1000
_SUFFIX = ".arrays"
FORMAT = 2


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A task that failed at its last try.

    Parameters
    ----------
    stage : str
        Name of its stage.
    index : int
        Its number in the stage.
    sentence : str
        Why it failed.
    details : Path
        File with the traceback.
    """

    stage: str
    index: int
    sentence: str
    details: Path


class JobFolder:
    """A folder in which the tasks of a job keep what they computed.

    The output of a task appears by a rename when it is complete: a task is done when
    its file exists, whoever wrote it.

    Parameters
    ----------
    path : Path
        The folder.

    Raises
    ------
    ValueError, OSError
        When it is no folder of a job, or of one by a later version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().resolve()
        if not (self.path / PLAN).is_file():
            raise FileNotFoundError(
                f"{self.path} is not the folder of a job: it has no {PLAN}."
            )
        plan = read_json(self.path / PLAN)
        is_known = isinstance(plan, dict) and plan.get("format") == FORMAT
        if not is_known or plan.pop(_DIGEST, None) != _digest(plan):
            raise ValueError(
                f"{self.path / PLAN} is not a plan that this version reads: plan the "
                "job again."
            )
        self.plan: dict[str, Any] = plan
        self._remove_abandoned()

    @classmethod
    def create(cls, path: str | Path, plan: Mapping[str, Any]) -> Self:
        """Write the plan into a folder; the same job may be there already.

        Raises
        ------
        ValueError
            When the folder has another job, or other files.
        """
        folder = Path(path).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        complete = json.loads(json.dumps({"format": FORMAT, **plan}))
        if not (folder / PLAN).exists():
            write_json(folder / PLAN, {**complete, _DIGEST: _digest(complete)})
        found = cls(folder)
        if found.plan != complete:
            names = sorted(complete.keys() | found.plan.keys())
            others = [n for n in names if complete.get(n) != found.plan.get(n)]
            raise ValueError(
                f"{folder} holds another job, which differs in {', '.join(others)}: "
                "delete it, or name another folder."
            )
        return found

    def done(self, stage: str) -> set[int]:
        """List the tasks of a stage that are done."""
        return {
            int(entry.name.partition(".")[0])
            for folder in _folders(self.path / stage)
            for entry in _entries(folder)
            if entry.name.endswith(_SUFFIX) and entry.name[0] != "."
        }

    def is_done(self, stage: str, index: int) -> bool:
        """Tell whether a task is done."""
        return self._file(stage, index).exists()

    def save(
        self,
        stage: str,
        index: int,
        arrays: Mapping[str, ArrayLike],
        compressed: bool = True,
    ) -> None:
        """Write what a task computed; the task is done."""
        file = self._file(stage, index)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file, _SUFFIX) as part, part.open("wb") as stream:
            write_arrays(stream, arrays, compressed)
        self._failure_file(stage, index).unlink(missing_ok=True)

    def load(
        self, stage: str, index: int, names: Iterable[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Read what a task computed.

        Parameters
        ----------
        stage : str
            Name of the stage.
        index : int
            Number of the task.
        names : iterable of str, optional
            Arrays to read; all when None.

        Raises
        ------
        ValueError
            When its file is missing or damaged. A damaged file is removed, so that
            the next run makes it again.
        OSError, MemoryError
            When it cannot be read now; it stays.
        """
        file = self._file(stage, index)
        try:
            with file.open("rb") as stream:
                return _Arrays(file, read_arrays(stream, names))
        except FileNotFoundError as error:
            raise ValueError(f"{file} is missing: run the job again.") from error
        except DamagedArraysError as error:
            file.unlink(missing_ok=True)
            raise ValueError(
                f"{file} was damaged ({error}) and is removed: run the job again."
            ) from error

    def note_failure(self, stage: str, index: int, error: Exception) -> None:
        """Keep why a task failed."""
        file = self._failure_file(stage, index)
        file.parent.mkdir(exist_ok=True)
        lines = traceback.format_exception(error)
        content = {"sentence": describe_failure(error), "traceback": "".join(lines)}
        write_json(file, content)

    def failures(self) -> list[TaskFailure]:
        """List the tasks that failed and are not done since."""
        found = []
        for entry in _entries(self.path / _FAILED):
            stage, _, number = entry.name.removesuffix(".json").rpartition("-")
            if not number.isdecimal() or entry.name.startswith("."):
                continue
            found.append(
                TaskFailure(stage, int(number), _sentence(entry.path), Path(entry.path))
            )
        return sorted(found, key=lambda failure: (failure.stage, failure.index))

    def _remove_abandoned(self) -> None:
        """Remove what killed processes left, also where nothing is written again."""
        stages = _folders(self.path)
        groups = (group for stage in stages for group in _folders(stage))
        numbered = (group for group in groups if group.name.isdecimal())
        remove_abandoned(self.path, *stages, *numbered)

    def _file(self, stage: str, index: int) -> Path:
        group = f"{index // _PER_FOLDER:05d}"
        return self.path / stage / group / f"{index:08d}{_SUFFIX}"

    def _failure_file(self, stage: str, index: int) -> Path:
        return self.path / _FAILED / f"{stage}-{index:08d}.json"


class _Arrays(dict[str, Any]):
    """Arrays of a task; one that is missing was lost by damage."""

    def __init__(self, file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(arrays)
        self._file = file

    def __missing__(self, name: str) -> Any:
        self._file.unlink(missing_ok=True)
        raise ValueError(
            f"{self._file} was damaged (it lacks {name}) and is removed: run the job "
            "again."
        )


def _digest(plan: Mapping[str, Any]) -> str:
    """Return a hash of a plan, which nobody edits: a changed one is damaged."""
    text = json.dumps(plan, sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _sentence(path: str) -> str:
    """Return why a task failed; the file tells only, so a damaged one stops nothing."""
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        return str(error)
    found = content.get("sentence") if isinstance(content, dict) else None
    return found if isinstance(found, str) else f"{path} is damaged: run the job again."


def _folders(path: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(path) if entry.is_dir()]


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder; nothing when there is none."""
    try:
        with os.scandir(path) as entries:
            yield from entries
    except FileNotFoundError:
        return
