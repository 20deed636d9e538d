"""Predictors in several processes: sent by name and hash, refused after a fork."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.config import SamConfig

# Models that a worker process keeps between its tasks.
_MAX_KEPT = 2


@dataclass(frozen=True, slots=True)
class ModelSource:
    """How a predictor was loaded, to load it again in another process.

    Parameters
    ----------
    model : str
        A name of the registry or the hub, or an absolute path.
    key : str
        `Predictor.key`, which contains the hash of the weights.
    device : str or None
        The device that was asked for; each process chooses its own when None.
    config : SamConfig or None
        Sizes that were given with the model.
    family : str or None
        Family that was given with the model.
    """

    model: str
    key: str
    device: str | None = None
    config: SamConfig | None = None
    family: Any = None

    @property
    def identity(self) -> tuple[str, ...]:
        """What is equal for equal predictors."""
        return self.model, self.key, str(self.device), repr(self.config)


class PickledBySource:
    """A loaded model that is pickled by its name or path and the hash of its weights.

    Unpickling loads the weights, once in each process.

    Attributes
    ----------
    source : ModelSource or None
        Where it was loaded from; None for a model built in memory.
    """

    source: ModelSource | None = None
    name: str
    _load_again: Callable[[ModelSource], Any]

    def loaded_from(
        self, source: ModelSource, load: Callable[[ModelSource], Any]
    ) -> None:
        """Note where it was loaded from, and the function that loads it again."""
        self.source, self._load_again = source, load
        LoadedModels.alive[source.identity] = self

    def __copy__(self) -> Self:
        """Return another predictor with the same model, which may be changed."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, source=None)
        return copied

    def __reduce__(self) -> tuple[Callable[[ModelSource], Any], tuple[ModelSource]]:
        if self.source is None:
            raise TypeError(
                f"The predictor {self.name!r} was built in memory and cannot be sent "
                "to another process: save its model to a file, and load it by "
                "load_model."
            )
        return self._load_again, (self.source,)


class LoadedModels:
    """The models of this process.

    Attributes
    ----------
    alive : mapping
        All that are in use, by the identity of their source.
    kept : deque
        Those that were unpickled last, so that a worker does not load the weights for
        each of its tasks.
    lock : Lock
        Held while a model is loaded, so that threads do not load it twice.
    """

    alive: ClassVar[WeakValueDictionary[tuple[str, ...], Any]] = WeakValueDictionary()
    kept: ClassVar[deque[Any]] = deque(maxlen=_MAX_KEPT)
    lock: ClassVar[Lock] = Lock()


_first_process: int | None = None


def check_not_forked() -> None:
    """Refuse to compute in a process that was forked after a model was loaded.

    The threads of torch do not live on in a forked process, which waits for them for
    ever.

    Raises
    ------
    RuntimeError
        When this is such a process.
    """
    global _first_process
    process = os.getpid()
    if _first_process is None:
        _first_process = process
    if _first_process != process:
        raise RuntimeError(
            "This process was forked after a model was loaded, and torch would hang "
            "in it: start processes by 'spawn' or 'forkserver', for instance with "
            "multiprocessing.get_context('spawn')."
        )
