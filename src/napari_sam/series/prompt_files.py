"""Prompts of the images of a series: given by name, or in files of the same stem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from napari_sam.exchange.formats import ENDINGS
from napari_sam.exchange.prompts import read_prompts
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_sam.prompts.prompt import ObjectPrompts
    from napari_sam.prompts.selection import ImageSelection
    from napari_sam.series.item import SeriesItem

_ENDINGS = (".csv", ".tsv", ".roi", *ENDINGS.values())


@dataclass(frozen=True, slots=True, eq=False)
class PromptSource:
    """Prompts of all images.

    Parameters
    ----------
    given : str, Path or mapping
        A folder with files of the same stems as the images, in the same sub-folders;
        one file for all images, for instance COCO of all of them; or
        {name or stem of an image: prompts}, where the prompts are a list of `Prompt`
        for a plane, {slice: Prompt} or {object id: {slice: Prompt}} for a stack, or
        files.
    names : iterable of str
        Names of all images, to tell which stems are unique.
    """

    given: str | Path | Mapping[str, Any]
    names: Iterable[str]
    _stems: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        stems = Counter(PurePosixPath(name).stem for name in self.names)
        object.__setattr__(self, "_stems", stems)
        if isinstance(self.given, Mapping):
            known = {*self.names, *stems}
            unknown = [str(name) for name in self.given if name not in known]
            if unknown:
                raise ValueError(
                    f"There are prompts for {', '.join(unknown[:5])}, which are no "
                    "images of the series: name its images."
                )
            for name, count in stems.items():
                if count > 1 and name in self.given:
                    raise ValueError(
                        f"{count} images have the stem {name!r}: give the prompts by "
                        "the full names."
                    )
        elif not Path(self.given).exists():
            raise FileNotFoundError(
                f"There is no folder or file of prompts {self.given}: check the path."
            )

    def read(
        self, item: SeriesItem, selection: ImageSelection
    ) -> tuple[ObjectPrompts, tuple[str, ...]]:
        """Return the prompts of an image, and what was ignored of their files.

        Returns
        -------
        tuple
            {object id: {slice: Prompt}}, the slice being 0 of a plane; sentences.

        Raises
        ------
        ValueError
            When there are none, or they do not fit the image.
        OSError
            When a file cannot be read.
        """
        found = self._of(item)
        if isinstance(found, Mapping):
            return _by_object(found), ()
        if isinstance(found, str | Path):
            found = [Path(found)]
        if not isinstance(found, Sequence) or not found:
            raise ValueError(
                f"The prompts of {item.name} are a {type(found).__name__}: give a list "
                "of Prompt, a mapping or a file."
            )
        if all(isinstance(entry, Prompt) for entry in found):
            return {i: {0: prompt} for i, prompt in enumerate(found, 1)}, ()
        files = read_prompts(found, selection, item.path)
        if not files.objects:
            raise ValueError(
                f"{found[0]} has no prompts for {item.name}: add some, or skip it."
            )
        return files.objects, files.ignored

    def _of(self, item: SeriesItem) -> Any:
        if isinstance(self.given, Mapping):
            for name in (item.name, PurePosixPath(item.name).stem):
                if name in self.given:
                    return self.given[name]
            raise ValueError(f"There are no prompts for {item.name}: give some.")
        path = Path(self.given)
        if path.is_file():
            return [path]
        image = PurePosixPath(item.name)
        folders = [path / image.parent]
        if self._stems[image.stem] == 1:
            folders.append(path)
        for folder in folders:
            for stem in (image.name, image.stem):
                files = [folder / f"{stem}{ending}" for ending in _ENDINGS]
                there = [file for file in dict.fromkeys(files) if file.is_file()]
                if there:
                    return there
        raise ValueError(
            f"There is no file of prompts {folders[0] / image.stem}.csv, or of another "
            "format: add one."
        )


def _by_object(prompts: Mapping[Any, Any]) -> ObjectPrompts:
    """Convert {slice: Prompt} to one object; leave {object id: {slice: Prompt}}."""
    if all(isinstance(value, Prompt) for value in prompts.values()):
        return {1: dict(prompts)}
    return {number: dict(slices) for number, slices in prompts.items()}
