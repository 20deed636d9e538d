"""The choice of the model says what each one is for."""

from collections.abc import Iterator
from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_sam.checkpoints.registry import ADVICE, DEFAULT_MODEL, MODELS
from napari_sam.plugin.panels.choices import model_section, model_text
from napari_sam.plugin.panels.choices.model_section import OWN_FILE
from napari_sam.plugin.state import model_choice
from napari_sam.plugin.widget import SamWidget


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the models on this computer."""
    names = {"sam_vit_b"}
    for module in (model_section, model_text, model_choice):
        monkeypatch.setattr(module, "is_cached", lambda spec: spec.name in names)
    return names


@pytest.fixture
def widget(here: set[str], qtbot: Any) -> Iterator[SamWidget]:
    widget = SamWidget(ViewerModel())
    qtbot.addWidget(widget.native)
    yield widget
    widget.disconnect_viewer()


def test_models_on_this_computer_come_first(widget: SamWidget, here: set[str]) -> None:
    model = widget.panel.model
    assert model.choices[0] == "sam_vit_b"
    assert model.choices[-1] == OWN_FILE
    assert set(model.choices) == {*MODELS, OWN_FILE}
    assert model.value == DEFAULT_MODEL == widget.session.model
    here.add(DEFAULT_MODEL)
    widget.session.changed.emit()  # after a download
    assert model.choices[:2] == (DEFAULT_MODEL, "sam_vit_b")
    assert model.value == DEFAULT_MODEL


def test_entries_tell_speed_and_state(widget: SamWidget) -> None:
    native = widget.panel.model.native
    assert native.itemText(0) == "SAM ViT-B · slow without a GPU · ready"
    texts = [native.itemText(i) for i in range(native.count())]
    assert "LiteMedSAM · fast · download 39 MB" in texts
    for index, name in enumerate(widget.panel.model.choices[:-1]):
        tooltip = native.itemData(index, Qt.ItemDataRole.ToolTipRole)
        assert MODELS[name].purpose in tooltip
        assert MODELS[name].licence in tooltip


def test_note_describes_the_chosen_model(widget: SamWidget) -> None:
    assert "medical images and microscopy" in widget.panel.model_note.value
    assert "Not downloaded yet" in widget.panel.model_note.value
    widget.panel.model.value = "sam_vit_b"
    assert widget.session.model == "sam_vit_b"
    assert widget.panel.model_note.value.endswith("Apache-2.0. Ready.")


def test_advice_for_every_kind_of_image() -> None:
    lines = model_text.advice_text().splitlines()
    assert [line.split(":")[0] for line in lines] == list(ADVICE)
