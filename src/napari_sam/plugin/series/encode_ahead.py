"""The next image of a series is encoded before it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.plugin.connected_panel import ConnectedPanel
    from napari_sam.plugin.series.item_layers import ItemLayers
    from napari_sam.plugin.series.read_ahead import ReadAhead, ReadImage

# While the user works, the network is not free: it is asked this often.
_TRY_MS = 500


class EncodeAhead(QObject):
    """Encodes what was read ahead, while Segment Anything has nothing else to do.

    Parameters
    ----------
    ahead : ReadAhead
        Tells what was read.
    layers : ItemLayers
        Those of the open image, whose contrast the next one gets.
    panel : callable
        Returns the open panel; None while there is none.
    parent : QObject
        Owner.
    """

    def __init__(
        self,
        ahead: ReadAhead,
        layers: ItemLayers,
        panel: Callable[[], ConnectedPanel | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._panel = layers, panel
        self._next: tuple[ReadImage, Any] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_TRY_MS)
        self._timer.timeout.connect(self._encode)
        ahead.on_read = self._on_read

    def close(self) -> None:
        """Encode no more."""
        self._next = None
        self._timer.stop()

    def _on_read(self, read: ReadImage, limits: Any) -> None:
        if len(read.image.used.shape) == 2:  # of stacks, any slice may be next
            self._next = read, limits
            self._timer.start()

    def _encode(self) -> None:
        panel = self._panel()
        if self._next is None:
            self._timer.stop()
        elif panel is not None:
            read, own = self._next
            limits = self._layers.limits_for(read.data, own)
            panel.encode_ahead(read.data, limits, lambda: self._end(read))

    def _end(self, read: ReadImage) -> None:
        if self._next is not None and self._next[0] is read:
            self._next = None
