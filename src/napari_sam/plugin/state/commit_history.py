"""Objects that are there already and are to be corrected: picked, or the last ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.layers.label_prompt import LabelPrompt, pick_object
from napari_sam.plugin.state.layer_request import CommittedObjects, Replacement

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_sam.plugin.layers.transforms import DisplayedPlane
    from napari_sam.plugin.state.layer_request import ConsumedPrompts

# Objects whose prompts can be brought back, one by one.
_MOST_COMMITTED = 100


class CommitHistory:
    """What the next result replaces, and the objects that can be gone back to.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are corrected.
    used : ConsumedPrompts
        Takes and gives back the prompts of objects that are done.

    Attributes
    ----------
    picked : LabelPrompt or None
        An object of a labels layer that is a prompt now.
    revision : Replacement or None
        The objects that the next result replaces.
    """

    def __init__(self, viewer: ViewerModel, used: ConsumedPrompts) -> None:
        self._viewer = viewer
        self._used = used
        self._committed: list[CommittedObjects] = []
        self.picked: LabelPrompt | None = None
        self.revision: Replacement | None = None

    @property
    def can_go_back(self) -> bool:
        """Whether there is an object to go back to."""
        return bool(self._committed)

    def remember(self, committed: CommittedObjects) -> None:
        """Note an object that was written; the correction is over."""
        here = self._viewer.layers
        # Layers that are gone for good are not kept in memory.
        self._committed = [c for c in self._committed if c.is_in(here)]
        self._committed = [*self._committed, committed][-_MOST_COMMITTED:]
        self.picked = self.revision = None

    def pick(
        self, labels: Labels, label: int, image: Image, plane: DisplayedPlane
    ) -> None:
        """Take a label on the displayed plane as a prompt; see `pick_object`."""
        dims = self._viewer.dims
        self.picked = pick_object(labels, label, image, plane, dims)
        self.revision = Replacement(labels, (label,))

    def go_back(self) -> CommittedObjects:
        """Bring back the prompts of the last object, and its sliders.

        Raises
        ------
        ValueError
            When there is none, or its image is gone.
        """
        if not self._committed:
            raise ValueError("There is no previous object.")
        last = self._committed.pop()
        if last.question.image not in self._viewer.layers:
            raise ValueError("The image of the previous object was removed.")
        self._used.restore(last.question.prompts)
        self.picked = None
        self.revision = Replacement(last.labels, last.ids, last)
        last.question.sliders.restore(self._viewer.dims)
        return last

    def give_up(self) -> None:
        """Leave the objects as they are; one can go back to the last one again."""
        if self.revision is not None and self.revision.committed is not None:
            self._used.release(self.revision.committed.question.prompts)
            self._committed.append(self.revision.committed)
        self.picked = self.revision = None
