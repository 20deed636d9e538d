"""transformers' own tests of SAM, run with the classes of this package.

    python -m benchmarks.parity.hf_tests CHECKOUT [modeling processing image_processing]

needs ``pip install transformers parameterized pytest httpx``, not torchvision. CHECKOUT
is a checkout of transformers' repository, of which `tests` and `utils` are read. Take
the tag of the installed version, or a commit near it. The tests are not changed: what
they import from transformers is replaced by ours, and pictures of the hub by random
ones.

Prints what passed, failed and does not apply, with a reason each. The exit status is 1
when a test fails that is not one of `EXPECTED`. ``--published`` runs the
tests with the classes of transformers, to tell failures of the environment.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import tempfile
import unittest
from collections import Counter
from functools import partialmethod
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

os.environ["HF_HUB_OFFLINE"] = "1"
sys.dont_write_bytecode = True

import transformers  # noqa: E402
from transformers import testing_utils  # noqa: E402
from transformers.models.sam import image_processing_pil_sam as published  # noqa: E402

import napari_sam as ns  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    "AutoImageProcessor",
    "SamConfig",
    "SamImageProcessor",
    "SamMaskDecoderConfig",
    "SamModel",
    "SamProcessor",
    "SamPromptEncoderConfig",
    "SamVisionConfig",
    "SamVisionModel",
    "pipeline",
)

# Tests that fail, with the reason.
EXPECTED = {
    "test_gradient_checkpointing_enable_disable": (
        "asks for layers of transformers' class GradientCheckpointingLayer; "
        "checkpointing itself is switched on and off as tested elsewhere"
    ),
    "test_model_weights_reload_no_missing_tied_weights": (
        "loads a file without any weights of the model, which is refused on purpose"
    ),
    "test_sdpa_can_dispatch_composite_models": (
        "asks for modules whose class has SdpaAttention in its name; here one class "
        "computes all kinds"
    ),
}


# Tests that ask for the tokens of a text, which SAM does not have. The processor of
# transformers 5.24 fails in them; that of 5.16 was skipped.
OF_TEXT = (
    "test_structured_kwargs_nested",
    "test_structured_kwargs_nested_from_dict",
    "test_unstructured_kwargs",
    "test_unstructured_kwargs_batched",
)


class Pictures:
    """Stand-in for a data set of the hub: pictures with segmentation maps."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._columns: dict[str, list[Any]] = {"image": [], "map": []}
        for height, width in ((512, 683), (400, 300)):
            picture = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
            smooth = Image.fromarray(picture).resize((width, height))
            labels = np.add.outer(np.arange(height) // 64, np.arange(width) // 50)
            self._columns["image"].append(smooth)
            self._columns["map"].append(Image.fromarray(labels.astype(np.uint8)))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._columns[key]
        return {name: values[key] for name, values in self._columns.items()}


def add_module(name: str, **members: Any) -> None:
    """Make a module importable that is not installed."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(members)
    sys.modules[name] = module


def replace_names() -> None:
    """Let ``from transformers import SamModel`` give ours."""
    from napari_sam.huggingface.generation.masks import encode_runs

    # Imports of its parts may have made it anew.
    package = sys.modules["transformers"]
    for name in NAMES:
        setattr(package, name, getattr(ns, name))
    # Declarations that the common tests read.
    kind: Any = ns.SamImageProcessor
    kind.valid_kwargs = published.SamImageProcessorPil.valid_kwargs
    kind.do_resize = True
    processor: Any = ns.SamProcessor
    processor.get_attributes = classmethod(lambda cls: ["image_processor"])
    for model in (ns.SamModel, ns.SamVisionModel):
        adapted: Any = model
        adapted._from_config = model.from_config
        adapted._supports_sdpa = True
        adapted._can_set_attn_implementation = lambda: True
        adapted._can_set_experts_implementation = lambda: False
        adapted._keep_in_fp32_modules = adapted._keep_in_fp32_modules_strict = set()
    add_module("transformers.models.sam.image_processing_sam", _mask_to_rle=encode_runs)
    # It would make a new module, with the classes of transformers.
    package.utils.direct_transformers_import = lambda _: package
    # Ours does not need it.
    testing_utils.require_torchvision = lambda test: test


def load(name: str) -> ModuleType:
    """Import a module of tests.

    Names that the mixins import for other models, and that the installed version no
    longer has, become None.
    """
    full = f"tests.models.sam.test_{name}_sam"
    while True:
        try:
            return importlib.import_module(full)
        except ImportError as error:
            missing = re.match(r"cannot import name '(.+?)' from '(.+?)'", str(error))
            if missing is None:
                raise
            setattr(importlib.import_module(missing[2]), missing[1], None)
            for loaded in [k for k in sys.modules if k.partition(".")[0] == "tests"]:
                del sys.modules[loaded]


def adapt(module: ModuleType) -> None:
    """Give the mixins our classes, where they ask the registry of transformers."""
    for common in ("image_processing", "processing"):
        mixins = sys.modules.get(f"tests.test_{common}_common")
        if hasattr(mixins, "MODALITY_TO_AUTOPROCESSOR_MAPPING"):
            mixins.MODALITY_TO_AUTOPROCESSOR_MAPPING = {
                "image_processor": ns.AutoImageProcessor
            }
    for value in list(vars(module).values()):
        adapted: Any = value
        if hasattr(value, "_setup_from_components"):
            adapted._setup_image_processor = classmethod(
                lambda _: ns.SamImageProcessor()
            )
            # Ours takes the same keywords, without declaring their types.
            adapted.skip_processor_without_typed_kwargs = lambda *_: None
            for name in OF_TEXT:
                asks = unittest.skip("test asks for the tokens of a text")
                setattr(adapted, name, asks(getattr(adapted, name)))
        elif hasattr(value, "test_backends_equivalence"):
            adapted.setUp = partialmethod(set_up, value.setUp)


def set_up(test: Any, inner: Callable[[Any], None]) -> None:
    """Test our image processor, and where two are compared that of transformers."""
    inner(test)
    # The keys of the classes in transformers, which some tests ask for.
    test.image_processing_classes = {"torchvision": ns.SamImageProcessor}
    if "backends" in test.id():
        test.image_processing_classes["pil"] = published.SamImageProcessorPil


def run(name: str, *, ours: bool) -> unittest.TestResult:
    """Run the tests of one module."""
    module = load(name)
    if ours:
        adapt(module)
    unittest.TestCase.maxDiff = None
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--traces", action="store_true", help="print whole reasons")
    options = parser.parse_args()
    modules = options.modules or ["image_processing", "processing", "modeling"]
    add_module("datasets", load_dataset=lambda *_, **__: Pictures())
    if not options.published:
        replace_names()
    with tempfile.TemporaryDirectory() as folder:
        for part in ("tests", "utils"):
            (Path(folder) / part).symlink_to(options.checkout.resolve() / part)
        (Path(folder) / "src").mkdir()
        installed = Path(transformers.__file__).parent
        (Path(folder) / "src" / "transformers").symlink_to(installed)
        sys.path.insert(0, folder)
        results = {name: run(name, ours=not options.published) for name in modules}
    unexpected = [
        report(name, result, traces=options.traces) for name, result in results.items()
    ]
    sys.exit(not options.published and any(unexpected))


def report(name: str, result: unittest.TestResult, *, traces: bool) -> int:
    """Print the result of a module; return the number of unexpected failures."""
    failed = [*result.failures, *result.errors]
    passed = result.testsRun - len(failed) - len(result.skipped)
    print(
        f"{name}: {passed} passed, {len(failed)} failed, "
        f"{len(result.skipped)} not applicable"
    )
    unexpected = 0
    for test, trace in failed:
        *_, kind, method = test.id().split(" ")[0].split(".")
        reason = EXPECTED.get(method)
        unexpected += reason is None
        last = trace.strip().splitlines()[-1][:150]
        print(f"  failed  {kind}.{method}: {reason or last}")
        if traces:
            print(trace)
    reasons = Counter(reason.strip()[:100] for _, reason in result.skipped)
    for reason, count in reasons.most_common():
        print(f"  not applicable, {count} x {reason}")
    return unexpected


if __name__ == "__main__":
    main()
