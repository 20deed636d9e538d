"""A series of images: open it, go through it, segment it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.series.classes import (
    ClassChange,
    merge_in_items,
    merged_classes,
    undo_merge,
)
from napari_sam.series.editing import ItemEditor
from napari_sam.series.export import export_items
from napari_sam.series.item import SeriesItem
from napari_sam.series.item_list import ItemList
from napari_sam.series.storage.listing import (
    PROJECT_FILE,
    Listing,
    files_of,
    natural_key,
)
from napari_sam.series.storage.project import Project
from napari_sam.series.table import write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from napari_sam.exchange.folders import FolderFormat
    from napari_sam.exchange.formats import Format
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.scale_out.jobs.schedulers import Scheduler
    from napari_sam.series.batch import BatchStep
    from napari_sam.series.storage.state import Status


class ImageSeries(ItemList):
    """Images with their labels, records and states in one folder; see `open_series`.

    Parameters
    ----------
    output : Path
        Folder of the series.
    project : Project
        Content of its series.json.
    listing : Listing
        The images.
    """

    def __init__(self, output: Path, project: Project, listing: Listing) -> None:
        self.output = output
        self.ignored = dict(listing.ignored)
        """{name: why it is no image}, of other files in the folder."""
        self._project = project
        files = files_of(output)
        problems, sizes, choice = listing.problems, listing.sizes, project.choice
        root = listing.root
        items = {
            name: SeriesItem(
                name,
                root / name,
                output,
                choice,
                problems[name],
                sizes.get(name),
                files,
            )
            for name in sorted(problems, key=natural_key)
        }
        super().__init__(items)

    def __repr__(self) -> str:
        return f"ImageSeries({str(self.output)!r}, {len(self)} images)"

    def edit(self, name: str) -> ItemEditor:
        """Open an image for writing; see `ItemEditor`."""
        return ItemEditor(self[name])

    # -- segmentation ------------------------------------------------------------------

    def iter_segment(
        self,
        model: str | Path | Predictor = DEFAULT_MODEL,
        prompts: str | Path | Mapping[str, Any] | None = None,
        *,
        again: bool = False,
        stopped: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> Generator[BatchStep, None, dict[str, str]]:
        """Segment all new images, one after the other.

        The labels of each image are written when it is finished, and its status
        becomes "needs review". A failed image is left out: its reason is in
        `problems`. A second run goes on where the first one ended, whatever ended it,
        and tries again what failed. Images that were started, done or skipped are left
        as they are.

        Parameters
        ----------
        model : str, Path or Predictor
            Model name, path or repository, see `load_model`, or a loaded model.
        prompts : str, Path or mapping, optional
            Folder with a prompt file for each image, of the same stem; one file for
            all; or {name: prompts}, see `PromptSource`. Everything is segmented when
            None.
        again : bool
            Whether to replace the labels of images that wait for review.
        stopped : callable
            When it returns True, no further image is begun.
        **options
            `intensity`, `zoom`, `axis`, `search`, `thresholds`, `linking`, `cleanup`:
            see `ImageJob`.

        Yields
        ------
        BatchStep
            Several of each image; `is_finished` is True for the last one. Stop
            iterating to cancel: finished images stay.

        Returns
        -------
        dict
            {name: why the image failed}.

        Raises
        ------
        ValueError, OSError
            When the prompts or options cannot be used at all.
        WeightsError
            When the model cannot be loaded.
        """
        from napari_sam.series.batch import Batch

        batch = Batch.of(self, self.output, model, prompts, again, options)
        return (yield from batch.run(stopped))

    def segment(
        self,
        model: str | Path | Predictor = DEFAULT_MODEL,
        prompts: str | Path | Mapping[str, Any] | None = None,
        *,
        again: bool = False,
        scheduler: Scheduler = None,
        **options: Any,
    ) -> dict[str, str]:
        """Segment all new images; see `iter_segment`.

        Parameters
        ----------
        model : str, Path or Predictor
            Model name, path or repository, see `load_model`, or a loaded model.
        prompts : str, Path or mapping, optional
            Prompts of the images; everything is segmented when None.
        again : bool
            Whether to replace the labels of images that wait for review.
        scheduler : object, optional
            What segments the images, see `Job.run`; one after the other when None.
        **options
            Further arguments of `iter_segment`.

        Returns
        -------
        dict
            {name: why the image failed}; empty when all were written.
        """
        from napari_sam.prediction.steps import run_to_end
        from napari_sam.series.batch import Batch
        from napari_sam.series.batch_job import segment_batch

        if scheduler is None:
            steps = self.iter_segment(model, prompts, again=again, **options)
            return run_to_end(steps)
        batch = Batch.of(self, self.output, model, prompts, again, options)
        return segment_batch(batch, scheduler)

    def write_table(self, path: str | Path) -> dict[str, str]:
        """Write a table of the objects of all images as CSV.

        A row has image, status, object, class, number of pixels, size and position in
        the unit of the image, first and last slice, lowest score, and the mean
        intensity of each channel.

        Parameters
        ----------
        path : str or Path
            The file; an existing one is replaced.

        Returns
        -------
        dict
            {name: why an image with labels is not in the table}.

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        return write_table(Path(path), self)

    def export(
        self,
        path: str | Path,
        format: Format | FolderFormat = "coco",
        *,
        status: Status | None = None,
    ) -> dict[str, str]:
        """Write all labels with their classes for another program.

        Parameters
        ----------
        path : str or Path
            Of COCO, one file for all images. Of other formats a folder, which is made,
            with a file for each image, named like it.
        format : str
            See `export_labels`; or "cellpose", "stardist" or "nnunet", see
            `FolderWriter`.
        status : str, optional
            Export images of this status only, for instance "done".

        Returns
        -------
        dict
            {name: why an image with labels was not exported}.

        Raises
        ------
        ValueError
            When the format or status is unknown.
        OSError
            When a file cannot be written.
        ModuleNotFoundError
            When the library of the format is not installed (extra ``exchange``).
        """
        items = [item for item in self.find(status=status) if item.has_labels]
        return export_items(Path(path), items, format, self.classes)

    def import_folder(self, path: str | Path) -> dict[str, str]:
        """Take the labels of new images from a folder of another program.

        They become "needs review". See `FolderReader` for the folders of cellpose,
        StarDist and nnU-Net.

        Parameters
        ----------
        path : str or Path
            The folder; its files are named like the images.

        Returns
        -------
        dict
            {name: why the labels of an image were not taken}.

        Raises
        ------
        ValueError
            When the folder is none of these.
        """
        from napari_sam.series.importing import import_folder

        problems, classes = import_folder(list(self), Path(path))
        for name in classes:
            if name not in self.classes:
                self.add_class(name)
        return problems

    # -- classes -----------------------------------------------------------------------

    @property
    def classes(self) -> Mapping[str, str]:
        """{name of a class: its colour, "#rrggbb"}, in order."""
        return self._project.classes

    def add_class(self, name: str, color: str | None = None) -> None:
        """Add a class, or give it another colour.

        Parameters
        ----------
        name : str
            Its name.
        color : str, optional
            "#rrggbb"; one that is not used yet when None.

        Raises
        ------
        ValueError
            When the name is empty or the colour has another form.
        OSError
            When the file cannot be written.
        """
        self.put_project(self.read_project().with_class(name, color))

    def rename_class(self, name: str, new: str) -> ClassChange:
        """Rename a class in all images; see `merge_classes`.

        Parameters
        ----------
        name, new : str
            The class, and its new name.

        Returns
        -------
        ClassChange
            What `undo_classes` takes back.

        Raises
        ------
        ValueError
            When there is no such class, or one of the new name already.
        """
        if new.strip() in self.read_project().classes:
            raise ValueError(f"There is a class {new!r} already: merge them.")
        return self.merge_classes([name], new)

    def merge_classes(self, names: Sequence[str], into: str) -> ClassChange:
        """Make one class of several, in all images; see `undo_classes`.

        Parameters
        ----------
        names : sequence of str
            Classes that end.
        into : str
            The class that they become; it may be new.

        Raises
        ------
        ValueError
            When there is no such class.
        LockedError
            When an image with such objects is opened by another process: nothing is
            changed.
        OSError
            When a file cannot be written.
        """
        before, into = self.read_project(), into.strip()
        project = merged_classes(before, names, into)
        for item in self:
            item.refresh()
        if into not in before.classes:  # so that each object always has a known class
            self.put_project(before.with_class(into, project.classes[into]))
        objects = merge_in_items(self, names, into)
        self.put_project(project)
        return ClassChange(before, into, objects)

    def undo_classes(self, change: ClassChange) -> None:
        """Take back a change of `merge_classes`; later changes of objects stay."""
        for item in self:
            item.refresh()
        self.put_project(undo_merge(self, self.read_project(), change))

    def read_project(self) -> Project:
        """Read series.json, which another process may have changed."""
        self._project = Project.read(self.output / PROJECT_FILE)
        return self._project

    def put_project(self, project: Project) -> None:
        """Write series.json."""
        project.write(self.output / PROJECT_FILE)
        self._project = project
