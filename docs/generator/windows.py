"""Pictures of the windows that examples open, for sphinx-gallery."""

import os
import sys
from pathlib import Path
from typing import Any

SIZE = (1200, 720)
_TIMER = "ends the event loop of examples"


def start_display() -> None:
    """Start a display in memory where there is none, as on a server."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        from pyvirtualdisplay import Display

        Display(size=(1366, 768)).start()


def take_windows(_: Any, variables: dict[str, Any], settings: dict[str, Any]) -> str:
    """Save a picture of each viewer that an example left open, and close it."""
    import napari
    from sphinx_gallery.scrapers import figure_rst

    paths = []
    found = variables["example_globals"].values()
    for viewer in {id(v): v for v in found if isinstance(v, napari.Viewer)}.values():
        viewer.window.resize(*SIZE)
        napari_events(0.5)
        if viewer.window.dock_widgets:
            viewer.reset_view()  # in what a panel has left of the canvas
            napari_events(0.2)
        path = variables["image_path_iterator"].next()
        viewer.screenshot(path, canvas_only=False, flash=False)
        paths.append(path)
        viewer.close()
    title = Path(variables["src_file"]).stem.replace("_", " ")
    return str(
        figure_rst(paths, settings["src_dir"], f"The window of the example: {title}")
    )


def napari_events(seconds: float) -> None:
    """Run the events of Qt for a time, so that the window draws itself."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def end_of_run(_: dict[str, Any], source: str) -> None:
    """End the event loop that an example starts to keep its window open."""
    from napari.qt import get_qapp
    from qtpy.QtCore import QTimer

    app = get_qapp()
    if app.findChild(QTimer, _TIMER) is None:
        timer = QTimer(app)
        timer.setObjectName(_TIMER)
        timer.timeout.connect(lambda: app.exit(0))
        timer.start(1000)
