"""transformers' own tests of SAM, run with the classes of this package.

    python -m benchmarks.parity.hf_tests TESTS [modeling processing image_processing]

needs transformers and parameterized; TESTS is the folder ``tests`` of its repository,
at the tag of the installed version (``git clone --depth 1 --branch v5.24.0``). The
tests are not changed: what they import from transformers is replaced by ours.
Prints what passed, failed and was skipped, with the last line of each reason.

Some failures are expected, as they test what only transformers has: its registries
(``AutoImageProcessor`` of transformers reads the folders into its own class), the
declarations of keywords (``valid_kwargs``, ``_merge_kwargs``), chat templates, text
prompts, images of four channels, and internals of ``PreTrainedModel``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from types import ModuleType
from typing import Any

import transformers

import napari_sam as ns

NAMES = (
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


def replace_names() -> None:
    """Let ``from transformers import SamModel`` give ours."""
    from transformers.models.sam import image_processing_pil_sam as published

    from napari_sam.huggingface.generation.masks import encode_runs

    for name in NAMES:
        setattr(transformers, name, getattr(ns, name))
    kind: Any = ns.SamImageProcessor
    # Declarations that the common tests read.
    kind.valid_kwargs = published.SamImageProcessorPil.valid_kwargs
    processor: Any = ns.SamProcessor
    processor.get_attributes = classmethod(lambda cls: ["image_processor"])
    module: Any = ModuleType("transformers.models.sam.image_processing_sam")
    module._mask_to_rle = encode_runs
    sys.modules[module.__name__] = module


def adapt(module: ModuleType) -> None:
    """Give the testers our class, where they ask the registry of transformers."""
    for value in list(vars(module).values()):
        if not isinstance(value, type):
            continue
        adapted: Any = value
        if hasattr(value, "_get_image_processing_classes"):
            adapted._get_image_processing_classes = lambda _: {
                "pil": ns.SamImageProcessor
            }
        if hasattr(value, "_setup_from_components"):
            adapted._setup_image_processor = classmethod(
                lambda _: ns.SamImageProcessor()
            )


def run(name: str) -> unittest.TestResult:
    """Run the tests of one module."""
    module = importlib.import_module(f"tests.models.sam.test_{name}_sam")
    adapt(module)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", type=Path)
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args()
    modules = options.modules or ["image_processing", "processing", "modeling"]
    os.environ["HF_HUB_OFFLINE"] = "1"
    replace_names()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(options.tests, Path(folder) / "tests")
        # Of the folder `utils` beside the tests: where to find pictures.
        helper = Path(folder) / "fetch_hub_objects_for_ci.py"
        helper.write_text("def url_to_local_path(url, *_, **__):\n    return url\n")
        sys.path.insert(0, folder)
        for name in modules:
            result = run(name)
            failed = [*result.failures, *result.errors]
            passed = result.testsRun - len(failed) - len(result.skipped)
            print(
                f"{name}: {passed} passed, {len(failed)} failed, "
                f"{len(result.skipped)} skipped"
            )
            for test, trace in failed:
                print(f"  failed  {test}: {trace.strip().splitlines()[-1][:120]}")
            for test, reason in result.skipped:
                print(f"  skipped {test}: {reason[:80]}")


if __name__ == "__main__":
    main()
