"""Protocol of a predictor: what other folders use of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from napari_sam.checkpoints.families import Family
    from napari_sam.checkpoints.prompt_support import PromptSupport
    from napari_sam.images.window import Window
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prompts.prompt import Prompt


@runtime_checkable
class PredictorLike(Protocol):
    """Embeds planes and predicts masks for prompts; see `Predictor`."""

    name: str
    family: Family
    prompts: frozenset[str]
    key: str
    click_decoder: Any
    instance_head: Any

    @property
    def device(self) -> Any:
        """Device of the model."""

    @property
    def prompt_support(self) -> PromptSupport:
        """The kinds of prompt that the model was trained on and answers."""

    @property
    def input_size(self) -> int:
        """Side of the square model input, in pixels."""

    @property
    def smallest_window(self) -> int:
        """Side of the smallest window to segment objects in."""

    @property
    def smallest_click_window(self) -> int:
        """Side of the smallest window for clicks on tiny objects."""

    @property
    def planes_at_once(self) -> int:
        """Number of planes to encode together."""

    def embed(
        self,
        plane: Any,
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
        window: Sequence[int] | None = None,
    ) -> Embedding:
        """Encode one plane."""

    def embed_batch(
        self,
        planes: Sequence[Any],
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
        windows: Sequence[Window | None] | None = None,
    ) -> list[Embedding]:
        """Encode several planes or windows."""

    def instance_maps(self, embedding: Embedding, pixels: Any) -> Any:
        """Find the objects of a window, for models with an instance head."""

    def restore(
        self,
        image_embedding: Any,
        shape: tuple[int, int],
        key: str,
        window: Window | None = None,
        pixels: Any = None,
    ) -> Embedding:
        """Build an embedding from a stored output of the image encoder."""

    def predict(
        self,
        embedding: Embedding,
        prompt: Prompt,
        *,
        multimask_output: bool | None = None,
    ) -> Prediction:
        """Predict the mask of one object."""

    def predict_batch(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        *,
        multimask_output: bool | None = None,
    ) -> list[Prediction]:
        """Predict one mask for each prompt."""
