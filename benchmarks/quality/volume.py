"""Propagation through stacks: ours and the peer's algorithm on the same embeddings.

Run ``python -m benchmarks.quality.volume``, with ``--cache FOLDER`` to keep embeddings
for the next run, and ``--half report`` for stacks that calibrated nothing. Every object
gets a box on its middle slice, drawn as by hand (up to 2 pixels off), and in a second
run one at each quarter of its slices. Dice is over the voxels of an object, SA50 the
fraction of objects with an IoU of at least 0.5; means are over the objects of a stack,
then over stacks. All slices are encoded beforehand, so that seconds count decoding and
the algorithms.

A slice counts as flagged when it is doubtful, interpolated or where an object stopped;
a slice beyond the last computed one, when that one is flagged.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import napari_sam as ns
from benchmarks.quality.peer import EVERY_MODE, PUBLISHED
from benchmarks.quality.scores import Flagging
from benchmarks.quality.stacks import TWENTY, pictures, suite
from benchmarks.quality.volume_runs import TWO, Bench, Measured, Run, prompts_of
from benchmarks.speed.large_volume import large

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from benchmarks.quality.peer import Setting

AHEAD, BEHIND = 0.05, -0.02
MOST_TIME = 2.0
CAUGHT, ALARMS = 0.8, 0.2
# Two prompted slices may be worse by the chance of where the boxes lie.
SAME = 0.005
# Share of the missing Dice that one correction brings back on the slices nearby.
REGAINED = 0.5


def aim(what: str, figure: str, met: bool) -> None:
    print(f"{what:<58}{figure:>26}   {'met' if met else 'missed'}", flush=True)


def print_stack(measured: Measured) -> None:
    """Print the results of one stack while the suite runs."""
    stack = measured.stack
    peers = "  ".join(f"{run.quality.mean:.3f}" for run in measured.peers.values())
    print(
        f"{stack.name:<20}{measured.one.quality.mean:>7.3f}"
        f"{measured.two.quality.mean:>7.3f} | {peers} | encoded in "
        f"{measured.encoding:.2f} s/slice",
        flush=True,
    )


# ------------------------------------------------------------------- tables


def best_setting(found: Sequence[Measured]) -> Setting:
    """Return the peer's setting with the highest mean over the suite."""

    def mean(setting: Setting) -> float:
        return float(np.mean([m.peers[setting].quality.mean for m in found]))

    return max(found[0].peers, key=mean)


def print_settings(found: Sequence[Measured]) -> None:
    print(
        "\nthe peer's settings: mean Dice, mean SA50, number of stacks where it is best"
    )
    table = [[m.peers[s].quality.mean for s in found[0].peers] for m in found]
    wins = np.bincount(np.argmax(table, axis=1), minlength=len(found[0].peers))
    for number, setting in enumerate(found[0].peers):
        sa50 = np.mean([m.peers[setting].quality.sa50 for m in found])
        print(
            f"  {setting!s:<32}{setting.source:<24}"
            f"{np.mean(table, axis=0)[number]:>7.3f}{sa50:>7.3f}{wins[number]:>5}"
        )


def four(measured: Measured, best: Setting) -> list[Run]:
    """Return ours and the peer's with one prompted slice, then with two."""
    runs = [measured.one, measured.peers[best], measured.two, measured.peer_two]
    return [run for run in runs if run is not None]


def print_table(found: Sequence[Measured], best: Setting) -> None:
    print(
        "\nDice and SA50 with one prompted slice and with two, milliseconds a slice "
        f"and memory above start in MB, in the same order; peer: {best}"
    )
    heads = "".join(f"{t:>14}" for t in ("ours 1", "peer 1", "ours 2", "peer 2"))
    print(f"{'stack':<20}{'obj':>4}{'sl':>4}{'z/xy':>5}{heads}   ms   MB")
    values = []
    for m in found:
        runs, slices = four(m, best), len(m.stack.image)
        values.append([v for r in runs for v in (r.quality.mean, r.quality.sa50)])
        times = ", ".join(f"{run.seconds / slices * 1e3:.0f}" for run in runs)
        memory = ", ".join(f"{run.megabytes:.0f}" for run in runs)
        ratio = m.stack.spacing[0] / m.stack.spacing[1]
        print(
            f"{m.stack.name:<20}{len(m.stack.objects):>4}{slices:>4}{ratio:>5.1f}"
            f"{cells(values[-1])}   {times}   {memory}"
        )
    print(f"{'mean of the stacks':<33}{cells(np.mean(values, axis=0))}")


def cells(values: Iterable[float]) -> str:
    """Return Dice and SA50 alternately."""
    widths = ("8.3f", "6.2f")
    return "".join(f"{v:>{widths[i % 2]}}" for i, v in enumerate(values))


def print_ends(found: Sequence[Measured]) -> None:
    """Print by stack how many slices were missed, and clicks beside boxes."""
    print(
        "\nby a box and by a click: Dice, SA50; fraction of the true slices missed, "
        "and slices beyond the ends; flags: bad slices caught, good ones flagged"
    )
    rows = []
    for m in found:
        row = []
        for run in (m.one, m.click):
            q = run.quality
            row += [q.mean, q.sa50, q.missed / q.true, q.beyond / q.true]
        flags = Flagging.of(m.checked)
        rows.append([*row, flags.caught, flags.alarms])
        print(f"{m.stack.name:<22}{m.stack.half:<10}" + _columns(rows[-1]))
    print(f"{'mean of the stacks':<32}" + _columns(np.nanmean(rows, axis=0)))


def _columns(values: Iterable[float]) -> str:
    return "".join(f"{value:>7.3f}" for value in values)


def print_overall(found: Sequence[Measured], best: Setting) -> None:
    """Print the targets for Dice."""
    ours = np.array([m.one.quality.mean for m in found])
    table = np.array([[r.quality.mean for r in m.peers.values()] for m in found])
    gains = ours - [m.peers[best].quality.mean for m in found]
    more = np.array([m.two.quality.mean for m in found]) - ours
    mean = float(gains.mean())
    print()
    aim(f"Dice above the peer's {best}", f"{mean:+.3f}", mean >= AHEAD)
    aim("  lowest of any stack", least(gains, found), float(gains.min()) >= BEHIND)
    above = (ours - table.max(1)).mean()
    print(f"  above the peer's best setting of each stack: {above:+.3f}")
    aim(
        "Dice of two prompted slices above one, lowest",
        least(more, found),
        float(more.min()) >= -SAME,
    )


def least(values: NDArray[np.floating], found: Sequence[Measured]) -> str:
    return f"{values.min():+.3f} {found[int(values.argmin())].stack.name}"


def print_flags(found: Sequence[Measured]) -> None:
    """Print the targets for flagged slices."""
    print(
        "\nslices   bad  good | bad ones flagged (of those computed) | "
        "good ones flagged | AUC of the confidence"
    )
    for half in ("calibrate", "report"):
        checked = [e for m in found if m.stack.half == half for e in m.checked]
        if not checked:
            continue
        f = Flagging.of(checked)
        print(
            f"{half:<10}{f.bad:>5}{f.good:>6} | "
            f"{f.caught:.2f} ({f.caught_computed:.2f}) | "
            f"{f.alarms:.2f} | {f.auc:.3f}"
        )
        if half == "report":
            aim("bad slices flagged", f"{f.caught:.2f}", f.caught >= CAUGHT)
            aim("good slices flagged", f"{f.alarms:.2f}", f.alarms <= ALARMS)


def print_corrections(found: Sequence[Measured]) -> None:
    fixed = [(m.stack.name, m.correction) for m in found if m.correction is not None]
    if not fixed:
        return
    print(
        "\ncorrected: Dice | of the other slices | of those nearby, share of what was "
        "missing | computed, allowed | strays"
    )
    for name, c in fixed:
        print(
            f"{name:<20}{c.before:.3f} to {c.after:.3f} | {c.others_before:.3f} to "
            f"{c.others_after:.3f} | {c.near_before:.3f} to {c.near_after:.3f}, "
            f"{c.regained:.2f} | {c.recomputed}, {c.allowed} | {c.strays}"
        )
    gain = float(np.mean([c.after - c.before for _, c in fixed]))
    aim("Dice gained by one correction per object", f"{gain:+.3f}", gain > 0)
    near = float(np.mean([c.regained for _, c in fixed]))
    aim("missing Dice nearby regained", f"{near:.2f}", near >= REGAINED)
    more = sum(c.recomputed > c.allowed for _, c in fixed)
    moved = sum(c.strays for _, c in fixed)
    text = f"{more}; {moved}"
    aim("stacks with more slices computed; changed elsewhere", text, not more + moved)


# --------------------------------------------------------------------- main


def run(bench: Bench, args: argparse.Namespace) -> None:
    settings = EVERY_MODE if args.every_mode else PUBLISHED
    print(f"{'stack':<20}{'ours 1':>7}{'ours 2':>7} | " + "  ".join(map(str, settings)))
    found = []
    for stack in suite(args.small, args.only):
        if args.half not in (None, stack.half):
            continue
        found.append(bench.measure(stack, settings, not args.no_correction))
        print_stack(found[-1])
        save(found, args.save)
    best = best_setting(found)
    for measured in found:
        two = prompts_of(measured.stack, TWO)
        measured.peer_two = bench.peer(measured.stack, two, best)
    print_settings(found)
    print_table(found, best)
    print_ends(found)
    print_overall(found, best)
    print_flags(found)
    print_corrections(found)
    save(found, args.save)


def save(found: Sequence[Measured], path: Path | None) -> None:
    """Save the results after every stack, as a run may be interrupted."""
    if path is not None:
        path.write_text(json.dumps([measured.to_json() for measured in found]))


def print_twenty(bench: Bench) -> None:
    one, twenty = bench.twenty()
    print(f"\n{TWENTY}, encoding included: {one:.1f} s for one, {twenty:.1f} s for all")
    aim(
        "time of 20 objects over that of one",
        f"{twenty / one:.2f}",
        twenty / one <= MOST_TIME,
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--small", action="store_true", help="a few stacks")
    made.add_argument("--only", metavar="NAME", help="stacks with this in their name")
    made.add_argument("--half", choices=("calibrate", "report"), help="one half")
    made.add_argument("--cache", type=Path, metavar="FOLDER", help="keep embeddings")
    made.add_argument("--save", type=Path, metavar="FILE", help="raw results, as JSON")
    made.add_argument("--pictures", type=Path, metavar="FOLDER", help="stacks as PNG")
    made.add_argument("--every-mode", action="store_true", help="all modes of the peer")
    made.add_argument("--no-correction", action="store_true")
    made.add_argument(
        "--no-twenty", action="store_true", help="skip the runs that encode again"
    )
    made.add_argument("--large", action="store_true", help="also a large stack on disk")
    return made


def main() -> None:
    args = parser().parse_args()
    if args.pictures is not None:
        pictures(args.pictures, small=args.small, only=args.only)
        return
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}; "
        f"torch {torch.__version__} with {torch.get_num_threads()} threads"
    )
    if args.large:
        large()
        return
    bench = Bench(ns.load_model("lite_medsam"), args.cache)
    run(bench, args)
    if not args.no_twenty:
        print_twenty(bench)


if __name__ == "__main__":
    main()
