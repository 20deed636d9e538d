"""Make the animation of the README from the running program.

Run under a display, for instance:
xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_animation.py
"""

import sys
from pathlib import Path

import napari
import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parent))

from make_images import corners, open_viewer, rest, wait
from skimage.feature import match_template

from napari_sam import samples
from napari_sam.plugin.layers.visible_region import camera_of

PATH = Path(__file__).parent / "images" / "first_object.png"
WIDTH = 800
CLICKED, BOXED = 2, 4


class Film:
    """Screenshots of a window, each with the milliseconds to show it."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._frames: list[tuple[Image.Image, int]] = []

    def take(
        self,
        milliseconds: int,
        pointer: tuple[float, float] | None = None,
        text: str = "",
    ) -> None:
        """Take a screenshot, with a mouse pointer at (row, col) of the image."""
        rest(0.2)
        shot = self._viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(shot).convert("RGB")
        if pointer is not None:
            draw_pointer(picture, self._on_screen(pointer, shot))
        if text:
            draw_caption(picture, text)
        height = round(picture.height * WIDTH / picture.width)
        small = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
        self._frames.append((small, milliseconds))

    def _on_screen(
        self, position: tuple[float, float], window: np.ndarray
    ) -> tuple[int, int]:
        """Return (x, y) in a screenshot of the window of a (row, col) of the image."""
        canvas = self._viewer.screenshot(canvas_only=True, flash=False)
        middle = np.array(canvas.shape[:2]) // 2
        patch = canvas[middle[0] - 40 : middle[0] + 40, middle[1] - 40 : middle[1] + 40]
        match = match_template(window[..., 0], patch[..., 0])
        found = np.array(np.unravel_index(match.argmax(), match.shape)) + 40
        camera = camera_of(self._viewer)
        offset = np.array(position) - camera.center[-2:]
        row, col = found + offset * camera.zoom
        return round(col), round(row)

    def save(self, path: Path) -> None:
        """Write an animated PNG that repeats; only what changes is stored."""
        first, *others = [frame for frame, _ in self._frames]
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=[milliseconds for _, milliseconds in self._frames],
            loop=0,
            optimize=True,
        )


def draw_pointer(picture: Image.Image, tip: tuple[int, int]) -> None:
    shape = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
    outline = [(tip[0] + x * 1.5, tip[1] + y * 1.5) for x, y in shape]
    ImageDraw.Draw(picture).polygon(outline, fill="white", outline="black")


def draw_caption(picture: Image.Image, text: str) -> None:
    draw = ImageDraw.Draw(picture)
    left, bottom = 350, picture.height - 60
    size = draw.textlength(text, font_size=24)
    draw.rounded_rectangle((left, bottom - 44, left + size + 28, bottom), 8, "#0072b2")
    draw.text((left + 14, bottom - 36), text, fill="white", font_size=24)


def main() -> None:
    viewer, widget = open_viewer("coins")
    widget.panel.new_prompts.changed.emit(True)
    wait(widget)
    film, session = Film(viewer), widget.session
    centres, boxes = samples.coin_centres(), samples.coin_boxes()
    click, box = tuple(centres[CLICKED]), boxes[BOXED]
    widget.press("positive")
    film.take(1200, (150, 330), "Point at an object")
    film.take(700, click, "Point at an object")
    session.points_layer.add(np.array([click]))
    wait(widget)
    film.take(1800, click, "Its outline appears")
    widget.panel.accept.changed.emit(True)
    wait(widget)
    film.take(1500, click, "W writes it as a label")
    widget.press("box")
    for part in (0.1, 0.4, 0.7, 1):
        grown = np.concatenate((box[:2], box[:2] + part * (box[2:] - box[:2])))
        shapes = session.shapes_layer
        shapes.data = []
        shapes.add_rectangles(corners(grown))
        if part < 1:
            film.take(180, tuple(grown[2:]), "Or draw a box")
    wait(widget)
    film.take(1500, tuple(box[2:]), "Or draw a box")
    widget.panel.accept.changed.emit(True)
    wait(widget)
    widget.panel.segment_everything.changed.emit(True)
    wait(widget)
    film.take(2500, None, "Or find everything")
    film.save(PATH)
    viewer.close()
    print(PATH, PATH.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
