"""Foldable section of the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from superqt import QCollapsible

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_FOLDED, _UNFOLDED = "▸", "▾"
_NO_LIMIT = (1 << 24) - 1  # Qt's largest height of a widget
_HEADING = (
    "QPushButton { text-align: left; border: none; font-weight: bold; padding: 2px; "
    "background: transparent; } QPushButton:focus { text-decoration: underline; }"
)


class Section(QCollapsible):
    """A heading, and the controls that fold under it.

    Unlike in a plain `QCollapsible`, controls may appear while the section is
    unfolded, folded controls are not reached by the Tab key, and the arrow has the
    colour of the theme.

    Parameters
    ----------
    title : str
        Text of the heading.
    content : QWidget
        The controls.
    tooltip : str
        Explanation of the heading.
    folded : bool
        Whether the section is folded at first.
    """

    def __init__(
        self, title: str, content: QWidget, tooltip: str, folded: bool = False
    ) -> None:
        super().__init__()
        # The arrow is part of the heading, in its colour.
        self.toggleButton().setIconSize(QSize(0, 0))
        self._title, self._summary = title, ""
        layout, placeholder = self.layout(), self.content()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.removeWidget(placeholder)
        placeholder.deleteLater()
        self.setContent(content)
        self.toggleButton().setStyleSheet(_HEADING)
        self.toggleButton().setToolTip(tooltip)
        # A long heading neither widens the panel nor overlaps anything.
        self.toggleButton().setMinimumWidth(1)
        self.toggled.connect(self._on_toggled)
        (self.collapse if folded else self.expand)()

    def add(self, widget: QWidget) -> None:
        """Add a widget below the controls."""
        layout = self.content().layout()
        assert layout is not None
        layout.addWidget(widget)

    def summarise(self, text: str) -> None:
        """Set what the heading says about the controls while they are folded."""
        self._summary = text
        self._show_heading()

    def expand(self, animate: bool = False) -> None:
        """Show the controls, at once."""
        super().expand(animate=False)

    def collapse(self, animate: bool = False) -> None:
        """Hide the controls, at once."""
        super().collapse(animate=False)

    def resizeEvent(self, event: Any) -> None:
        """Shorten the heading to the new width."""
        super().resizeEvent(event)
        self._show_heading()

    def _on_toggled(self, unfolded: bool) -> None:
        self.content().setMaximumHeight(_NO_LIMIT)
        self.content().setVisible(unfolded)
        self._show_heading()

    def _show_heading(self) -> None:
        button = self.toggleButton()
        text = f"{_UNFOLDED if self.isExpanded() else _FOLDED} {self._title}"
        if self._summary and not self.isExpanded():
            text += f": {self._summary}"
        room = self.width() - 2 * button.fontMetrics().averageCharWidth()
        elide = Qt.TextElideMode.ElideRight
        self.setText(button.fontMetrics().elidedText(text, elide, room))
