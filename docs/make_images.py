"""Take the screenshots of the README and the documentation.

Run under a display, for instance:
xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_images.py

`--theme light` and `--font 150` show the other theme and a larger font. Write them to
another folder by `--output`: only the dark ones with the usual font are kept.
"""

import argparse
import os
import tempfile
from pathlib import Path

# The settings of whoever runs this stay as they are.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import napari
import numpy as np
from imageio.v3 import imwrite
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEventLoop, QTimer
from scipy.ndimage import gaussian_filter

from napari_sam import samples
from napari_sam.plugin.layers.visible_region import camera_of

FOLDER = Path(__file__).parent / "images"
SIZE = (1366, 768)
CELL = [(374, 428)]


def rest(seconds: float) -> None:
    """Run the event loop for some seconds."""
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def corners(box: np.ndarray) -> np.ndarray:
    r0, c0, r1, c1 = box
    return np.array([(r0, c0), (r0, c1), (r1, c1), (r1, c0)])


def fit(viewer: napari.Viewer) -> None:
    """Wait until the panel has opened and the canvas keeps its size; show all of it."""
    before = None
    while before != (now := viewer.screenshot(flash=False).shape):
        before = now
        rest(1)
    viewer.reset_view()
    rest(0.5)


def open_viewer(sample: str = "", **image: np.ndarray) -> tuple[napari.Viewer, object]:
    """Open a sample, or an image by its name, and the panel."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    if sample:
        viewer.open_sample("napari-sam", sample)
    for name, data in image.items():
        viewer.add_image(data, name=name)
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam")
    fit(viewer)
    return viewer, widget


def wait(widget: object) -> None:
    """Wait until the widget has finished its work and drawn the result."""
    rest(0.3)
    while widget.panel.cancel.enabled:
        rest(0.1)
    rest(0.5)


def save(viewer: napari.Viewer, name: str, folder: Path) -> None:
    viewer.screenshot(folder / f"{name}.png", canvas_only=False, flash=False)
    for notification in notification_manager.records:
        print(name, notification.severity, notification.message)
    notification_manager.records.clear()


def coins(folder: Path) -> None:
    """Show the panel at first, with a prompt, and with coins accepted and pending."""
    viewer, widget = open_viewer("coins")
    save(viewer, "start", folder)
    widget.panel.new_prompts.changed.emit(True)
    boxes = samples.coin_boxes()
    shapes, points = widget.session.shapes_layer, widget.session.points_layer
    shapes.add_rectangles(corners(boxes[0]))
    wait(widget)
    save(viewer, "prompt", folder)
    widget.panel.each_prompt.value = True
    for box in boxes[1:8]:
        shapes.add_rectangles(corners(box))
    wait(widget)
    widget.panel.accept.changed.emit(True)
    for box in boxes[8:14]:
        shapes.add_rectangles(corners(box))
    points.add(samples.coin_centres()[14:17])
    wait(widget)
    shapes.selected_data = points.selected_data = set()
    rest(0.5)
    save(viewer, "coins", folder)
    widget.panel.accept.changed.emit(True)
    rest(0.5)
    save(viewer, "accepted", folder)
    viewer.close()


def everything(folder: Path) -> None:
    """Show all coins, found without prompts, and the options."""
    viewer, widget = open_viewer("coins")
    widget.panel.segment_everything.changed.emit(True)
    wait(widget)
    rest(1)
    save(viewer, "everything", folder)
    viewer.close()


def cell(folder: Path) -> None:
    """Show one click on a cell with an alternative mask, and an error message."""
    viewer, widget = open_viewer(cell=samples.cell())
    widget.panel.new_prompts.changed.emit(True)
    points = widget.session.points_layer
    viewer.layers.selection.active = points
    points.add(CELL)
    wait(widget)
    points.selected_data = set()
    rest(0.5)
    save(viewer, "alternatives", folder)
    points.data = points.data[:0]
    widget.session.set_polarity(False)
    points.add(CELL)
    wait(widget)
    widget.panel.segment_slice.changed.emit(True)
    rest(0.5)
    save(viewer, "error", folder)
    viewer.close()


def many_cells() -> np.ndarray:
    """Draw about a thousand cells of 25 pixels in a plane of 2,048."""
    rng = np.random.default_rng(7)
    plane = 90 + 60 * gaussian_filter(rng.normal(size=(2048, 2048)), 5)
    rows, cols = np.mgrid[-25:26, -25:26]
    for row, col in np.argwhere(np.ones((34, 34))) * 60 + 30:
        top, left = np.array((row, col)) + rng.integers(-8, 9, 2) - 25
        window = np.s_[max(top, 0) : top + 51, max(left, 0) : left + 51]
        angle = np.arctan2(rows, cols) + rng.uniform(0, 6)
        radius = 12.5 + rng.normal() * np.cos(2 * angle) + 0.6 * np.cos(5 * angle)
        disc = np.hypot(rows, cols) < radius
        part = plane[window]
        part += rng.uniform(50, 80) * disc[-part.shape[0] :, -part.shape[1] :]
    noisy = gaussian_filter(plane, 1) + rng.normal(0, 4, plane.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def zoom(folder: Path) -> None:
    """Show a click on one small cell, on the whole plane and zoomed to the cell."""
    viewer, widget = open_viewer(cells=many_cells())
    widget.panel.new_prompts.changed.emit(True)
    camera = camera_of(viewer)
    camera.center, camera.zoom = (930, 930), 1.6
    points, shots = widget.session.points_layer, []
    for setting in ("off", "auto"):
        widget.session.zoom = setting
        rest(0.5)
        points.data = points.data[:0]
        points.add([(931, 931)])
        wait(widget)
        points.selected_data = set()
        rest(0.5)
        shots.append(viewer.screenshot(canvas_only=True, flash=False))
    gap = np.full((len(shots[0]), 12, 4), 255, np.uint8)
    imwrite(folder / "zoom.png", np.hstack([shots[0], gap, shots[1]]))
    viewer.close()


def head(folder: Path) -> None:
    """Show ventricles propagated from boxes on two slices."""
    viewer, widget = open_viewer("head")
    widget.panel.new_prompts.changed.emit(True)
    layer = viewer.layers["head"]
    for index, prompt in samples.head_prompts()[1].items():
        box = np.insert(corners(prompt.box), 0, index, axis=1)
        widget.session.shapes_layer.add_rectangles(box)
        viewer.dims.set_point(0, index * layer.scale[0])
    wait(widget)
    widget.panel.segment_stack.changed.emit(True)
    wait(widget)
    save(viewer, "head", folder)
    viewer.close()


def series(folder: Path) -> None:
    """Annotate a folder in the dock Image series, then give classes."""
    folder = folder.resolve()
    os.chdir(tempfile.mkdtemp())
    images = Path("coins")
    images.mkdir()
    for number in range(1, 9):
        pixels = np.roll(samples.coins(), 47 * number, axis=1)
        imwrite(images / f"coins-{number}.tif", pixels)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-sam", "Image series")
    dock.panel.images.line_edit.value = str(images)
    rest(1)
    save(viewer, "series_open", folder)
    dock.panel.buttons["open"].native.click()
    rest(2)
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-sam", "Segment Anything", tabify=True
    )
    widget.panel.new_prompts.changed.emit(True)
    fit(viewer)
    for number, count in ((1, 4), (2, 3), (3, 2)):
        moved = samples.coin_boxes() + np.array([0, 47, 0, 47]) * number
        inside = [box for box in moved if box[3] < samples.coins().shape[1]]
        for box in inside[:count]:
            widget.session.shapes_layer.add_rectangles(corners(box))
            wait(widget)
            widget.press("accept")
            rest(0.5)
        dock.press("done_next" if number < 3 else "needs_review")
        rest(2)
    dock.native.parent().raise_()
    rest(1)
    save(viewer, "series", folder)
    classes = dock.panel.classes
    dock.panel.sections["classes"].expand()
    for name in ("worn", "bright"):
        classes.named.value = name
        classes.add.native.click()
        rest(1)
    for label, name in ((1, "worn"), (2, "bright")):
        dock.annotation.layers.labels.selected_label = label
        rest(0.2)
        classes.of_selected.value = name
    classes.colored.value = True
    rest(2)
    save(viewer, "series_classes", folder)
    viewer.close()


def main() -> None:
    """Take the screenshots, all or some."""
    scenes = {f.__name__: f for f in (coins, everything, cell, zoom, head, series)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(scenes))
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    parser.add_argument("--font", type=int, default=100, help="per cent of the usual")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    appearance = get_settings().appearance
    appearance.theme = options.theme
    appearance.font_size = round(appearance.font_size * options.font / 100)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.scenes or scenes:
        scenes[name](options.output)


if __name__ == "__main__":
    main()
