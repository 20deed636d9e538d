"""The command line: parses, calls the library, prints."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.models import DEFAULT_MODEL, get_model_spec, list_models
from napari_sam.prompts import Prompt
from napari_sam.weights import WeightsError, fetch, is_cached

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MEGABYTE = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `napari-sam`; returns the exit code, 0 only when the result was written."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, WeightsError) as error:
        print(f"napari-sam: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("napari-sam: stopped before the end.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-sam",
        description="Segment Anything on images and stacks, without a display.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add(verbs, "models", _models, "list the models", "napari-sam models")
    download = _add(
        verbs,
        "download",
        _download,
        "bring the weights of a model",
        f"napari-sam download {DEFAULT_MODEL}",
    )
    download.add_argument("name", help="a name listed by: napari-sam models")
    _add_segment(verbs)
    _add_volume(verbs)
    demo = _add(
        verbs,
        "demo",
        _demo,
        "segment real sample images and write labels and pictures",
        "napari-sam demo --output napari-sam-demo",
    )
    demo.add_argument("--output", default="napari-sam-demo", help="folder to write to")
    demo.add_argument("--model", default=DEFAULT_MODEL, help="name, file or folder")
    return parser


def _add_segment(verbs: Any) -> None:
    segment = _add(
        verbs,
        "segment",
        _segment,
        "segment objects on one plane",
        "napari-sam segment cells.tif --box 20,30,80,90 --box 5,5,25,40",
    )
    _add_image(segment)
    segment.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="ROW,COL",
        help="a click on an object, each an object of its own; repeatable",
    )
    segment.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="R0,C0,R1,C1",
        help="a box around an object; repeatable",
    )
    segment.add_argument(
        "--prompts",
        metavar="FILE",
        help='JSON list of objects: [{"points": [[r, c]], "labels": [1], "box": [..]}]',
    )


def _add_volume(verbs: Any) -> None:
    volume = _add(
        verbs,
        "volume",
        _volume,
        "segment objects through a stack",
        "napari-sam volume stack.tif --box 12:20,30,80,90",
    )
    _add_image(volume)
    volume.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="SLICE:ROW,COL",
        help="a click on a slice, each an object of its own; repeatable",
    )
    volume.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="SLICE:R0,C0,R1,C1",
        help="a box on a slice, each an object of its own; repeatable",
    )
    volume.add_argument(
        "--prompts",
        metavar="FILE",
        help='JSON: {"1": {"12": {"box": [...]}}}, that is object, slice, prompt',
    )
    volume.add_argument(
        "--axis", type=int, default=0, help="axis to walk along (default: 0)"
    )


def _add(
    verbs: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
    )
    parser.set_defaults(run=run)
    return parser


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", help="a TIFF file")
    parser.add_argument(
        "-o", "--output", help="label TIFF (default: IMAGE_labels.tif beside it)"
    )
    parser.add_argument(
        "--index",
        default="",
        metavar="AXIS=N,...",
        help="which time point, channel or slice to take, for instance T=0,C=1",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, file or folder")
    parser.add_argument(
        "--family",
        choices=["sam", "medsam", "lite_medsam"],
        help="for a file that the registry does not know: how it was trained",
    )
    parser.add_argument(
        "--contrast",
        metavar="LOW,HIGH",
        help="values shown as black and white",
    )


def _models(_: argparse.Namespace) -> None:
    for spec in list_models():
        size = f"{spec.size_bytes / _MEGABYTE:.0f} MB" if spec.size_bytes else "size ?"
        state = "downloaded" if is_cached(spec) else "not downloaded"
        default = " (default)" if spec.name == DEFAULT_MODEL else ""
        print(f"{spec.name}{default}: {spec.title}")
        print(
            f"    {size}, {state}; trained on {', '.join(sorted(spec.prompts))}; "
            f"{spec.licence}; {spec.origin}"
        )


def _download(options: argparse.Namespace) -> None:
    spec = get_model_spec(options.name)
    print(f"{spec.title}: {spec.licence}, {spec.origin}")
    path = fetch(spec, progress=_show_bytes)
    print(f"{path} is complete, its hash is right.")


def _segment(options: argparse.Namespace) -> None:
    from napari_sam.api import paint
    from napari_sam.tiff import read_tiff, write_labels

    output = _output(options)
    image = read_tiff(options.image).select(**_index(options.index))
    prompts = [Prompt(points=[_numbers(text, 2)]) for text in options.point]
    prompts += [Prompt(box=_numbers(text, 4)) for text in options.box]
    if options.prompts:
        prompts += [_prompt(entry) for entry in _read_json(options.prompts, list)]
    limits = _contrast(options)
    if not prompts:
        raise ValueError("There are no prompts: give --point, --box or --prompts.")
    plane = image.plane()
    for prompt in prompts:
        prompt.within((plane.shape[0], plane.shape[1]))
    predictor = _load(options)
    embedding = predictor.embed(plane, limits)
    answers = predictor.predict_batch(embedding, prompts)
    labels = paint(answers, embedding.shape)
    for number, answer in enumerate(answers, start=1):
        found = "" if answer.method == "prompt" else f", found by {answer.method}"
        size = int((labels == number).sum())
        print(f"object {number}: {size} pixels, score {answer.score:.2f}{found}")
    print(f"wrote {write_labels(output, labels, image)}")


def _volume(options: argparse.Namespace) -> None:
    from napari_sam.stack import Stack
    from napari_sam.tiff import read_tiff, write_labels
    from napari_sam.volume import assemble, check_prompts, propagate

    output = _output(options)
    image = read_tiff(options.image).select(**_index(options.index))
    stack = Stack(image.volume(), options.axis, rgb=image.rgb)
    prompts = check_prompts(_volume_prompts(options), stack)
    limits = _contrast(options)
    results = []
    for result in propagate(stack, prompts, _load(options), contrast_limits=limits):
        results.append(result)
        print(
            f"object {result.object_id}, slice {result.index}: {result.status}, "
            f"score {result.score:.2f}"
        )
    volume = assemble(stack, results)
    print(f"wrote {write_labels(output, volume.labels, image)}")


def _demo(options: argparse.Namespace) -> None:
    from napari_sam.demo import run_demo

    predictor = _load(options)
    for line in run_demo(predictor, Path(options.output)):
        print(line, flush=True)


def _load(options: argparse.Namespace) -> Any:
    from napari_sam.loading import load_model

    family = getattr(options, "family", None)
    return load_model(options.model, family=family, progress=_show_bytes)


def _show_bytes(done: int, total: int | None) -> None:
    """One line that rewrites itself on a terminal; silent in a log file."""
    if not sys.stderr.isatty():
        return
    whole = f" of {total / _MEGABYTE:.1f}" if total else ""
    end = "\n" if total and done >= total else ""
    line = f"\rweights: {done / _MEGABYTE:.1f}{whole} MB "
    print(line, end=end, file=sys.stderr, flush=True)


def _output(options: argparse.Namespace) -> Path:
    """Where to write, checked before the work rather than after it."""
    image = Path(options.image)
    # Of the name only the ending goes: cells.t1.tif and cells.t2.tif stay apart.
    stem = re.sub(r"(\.ome)?\.tiff?$", "", image.name, flags=re.IGNORECASE)
    default = image.with_name(f"{stem}_labels.tif")
    output = Path(options.output) if options.output else default
    inputs = {
        "image": image,
        "file of prompts": options.prompts,
        "model": options.model,
    }
    for role, given in inputs.items():
        exist = given and output.exists() and Path(given).exists()
        if exist and output.samefile(given):
            raise ValueError(
                f"--output {output} is the {role} itself: name another file."
            )
    if output.is_dir():
        raise ValueError(f"--output {output} is a folder: name a file in it.")
    if output.suffix.lower() not in ("", ".tif", ".tiff"):
        raise ValueError(f"--output {output}: labels are TIFF, name it .tif.")
    if not output.parent.is_dir():
        raise ValueError(f"The folder {output.parent} does not exist: make it first.")
    if not os.access(output.parent, os.W_OK):
        raise ValueError(f"The folder {output.parent} cannot be written to.")
    return output


def _numbers(text: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise ValueError(f"{text!r} is not {count} numbers separated by commas.")
    return values


def _contrast(options: argparse.Namespace) -> tuple[float, float] | None:
    if options.contrast is None:
        return None
    low, high = _numbers(options.contrast, 2)
    return low, high


def _index(text: str) -> dict[str, int]:
    indices = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if not (name and number.isdecimal()):
            raise ValueError(f"--index {text!r} is not of the form T=0,C=1.")
        indices[name.strip().upper()] = int(number)
    return indices


def _read_json(path: str, kind: type) -> Any:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding or of JSON
        raise ValueError(f"{path} is not JSON ({error}).") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds no {kind.__name__} of prompts; see --help.")
    return content


def _prompt(entry: Any) -> Prompt:
    known = {"points", "labels", "box"}
    if not isinstance(entry, dict) or not entry.keys() <= known:
        raise ValueError(
            f"{entry!r} is no prompt: give an object with points, labels and box."
        )
    try:
        return Prompt(**entry)
    except TypeError as error:  # something nested where a number should be
        raise ValueError(f"{entry!r} is no prompt: give numbers.") from error


def _volume_prompts(options: argparse.Namespace) -> dict[int, dict[int, Prompt]]:
    prompts: dict[int, dict[int, Prompt]] = {}
    if options.prompts:
        for object_id, slices in _read_json(options.prompts, dict).items():
            if not isinstance(slices, dict):
                raise ValueError(
                    f"{options.prompts}: object {object_id} has no slices; see --help."
                )
            prompts[_whole(object_id)] = {
                _whole(index): _prompt(entry) for index, entry in slices.items()
            }
    clicks = [(text, 2) for text in options.point]
    for text, count in (*clicks, *((text, 4) for text in options.box)):
        index, colon, rest = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} names no slice: write 12:{text} for slice 12.")
        numbers = _numbers(rest, count)
        prompt = Prompt(points=[numbers]) if count == 2 else Prompt(box=numbers)
        prompts[max(prompts, default=0) + 1] = {_whole(index): prompt}
    return prompts


def _whole(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"{text!r} is not a slice or object number.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
