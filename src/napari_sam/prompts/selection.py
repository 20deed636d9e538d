"""The part of an image that is segmented, and positions of prompts in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLANE = "YX"
# The order of planes in a stack of ImageJ.
_PAGE_ORDER = "CZT"


@dataclass(frozen=True, slots=True)
class ImageSelection:
    """A plane or stack of an image with more axes.

    Parameters
    ----------
    axes : str
        Names of all axes of the image, without colour, in the order of the file, for
        instance "TZYX".
    shape : tuple of int
        Their sizes.
    fixed : mapping
        {axis: index} where an index was chosen.
    along : str, optional
        Axis of the slices; None when a plane is segmented.
    """

    axes: str
    shape: tuple[int, ...]
    fixed: Mapping[str, int] = field(default_factory=dict)
    along: str | None = None

    @classmethod
    def of_stack(cls, shape: Sequence[int], axis: int = 0) -> Self:
        """Select a whole plane, YX, or a whole stack, ZYX, by its shape."""
        axes = "ZYX"[-len(shape) :]
        return cls(axes, tuple(shape), along=axes[axis] if len(shape) == 3 else None)

    @property
    def free(self) -> str:
        """The axes that are segmented: those not fixed and, but Y and X, not single."""
        return "".join(
            name
            for name, size in zip(self.axes, self.shape, strict=True)
            if name not in self.fixed and (size > 1 or name in _PLANE)
        )

    @property
    def plane_axes(self) -> str:
        """The two axes of the planes that are segmented: rows, then columns.

        Y comes before X and both after others, also where the file has another order.
        """
        names = (name for name in self.free if name != self.along)
        return "".join(sorted(names, key=_PLANE.find))

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Return (H, W) of these planes."""
        rows, cols = (self.size(name) or 1 for name in self.plane_axes)
        return rows, cols

    def size(self, axis: str) -> int | None:
        """Return the size of an axis: 1 when the image has none, None if not known."""
        if axis in self.axes:
            return self.shape[self.axes.index(axis)]
        return None if axis in self.fixed else 1

    def axes_of(self, count: int) -> str | None:
        """Name the axes of a layer of `count` axes over this image.

        It may have all axes of the image; those with more than one plane; all but the
        channels, which viewers split into layers; or those that are segmented.

        Returns
        -------
        str or None
            None when none of these has `count` axes.

        Raises
        ------
        ValueError
            When two of them have, and differ.
        """
        many = "".join(n for n in self.axes if n in _PLANE or self.size(n) != 1)
        sets = (self.axes, many, self.axes.replace("C", ""), many.replace("C", ""))
        fitting = {names for names in (*sets, self.free) if len(names) == count}
        # Channels are only left out where one of them is chosen.
        fitting = {n for n in fitting if set(self.free) <= set(n)}
        if len(fitting) > 1:
            raise ValueError(
                f"its {count} axes may be {' or '.join(sorted(fitting))}, and the "
                f"image has {self.axes}: save a layer with all {len(self.axes)} axes"
            )
        return next(iter(fitting), None)

    def locate(
        self, position: Mapping[str, int], page: int | None = None
    ) -> dict[str, int] | None:
        """Find where a plane lies in the selection.

        Parameters
        ----------
        position : mapping
            {axis: index}, from 0, as far as it is known.
        page : int, optional
            Instead, the index of the plane in the whole image, channels first, then Z,
            then T.

        Returns
        -------
        dict or None
            {axis: index} along the axes that are not fixed, as far as it is known; None
            when the plane is not part of the selection. An index along the axis of the
            slices may be beyond the last slice.
        """
        if page is not None:
            found = self._page_position(page)
            if found is None:
                return None
            position = found
        for axis, index in position.items():
            size = self.size(axis)
            is_outside = axis != self.along and size is not None and index >= size
            if index != self.fixed.get(axis, index) or is_outside:
                return None
        return {axis: index for axis, index in position.items() if axis in self.free}

    def _page_position(self, page: int) -> dict[str, int] | None:
        several = {*self.axes, *self.fixed} - set(_PLANE)
        several = {axis for axis in several if self.size(axis) != 1}
        if len(several) == 1:
            return {several.pop(): page}
        position = {}
        for axis in _PAGE_ORDER:
            size = self.size(axis)
            if size is None:
                return None
            page, position[axis] = divmod(page, size)
        return None if page or several - set(_PAGE_ORDER) else position
