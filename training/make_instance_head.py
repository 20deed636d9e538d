"""Training of the instance head for LiteMedSAM on synthetic scenes.

``python training/make_instance_head.py --folder instance_head`` makes scenes, encodes
them with the published image encoder, trains the head on these embeddings, and writes
``instance_head.safetensors`` and ``curves.csv`` into the folder. Scenes that were
encoded are kept: run the same command again after an interruption. The learning rate
follows ``--minutes``.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from object_looks import make
from safetensors.torch import save_file

from napari_sam.nets.instance_head import InstanceHead
from napari_sam.prediction.loading import load_model
from napari_sam.training.instances.loss import head_losses
from napari_sam.training.instances.targets import instance_targets

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

PARENT = "lite_medsam"
TRAIN_SEED, VALIDATE_SEED = 0, 1_000_000
BATCH, RATE, WARM_UP = 4, 3e-3, 100
WEIGHT_DECAY, AVERAGE = 1e-4, 0.998
VALIDATE_EVERY, LOG_EVERY = 200, 20


@dataclass(frozen=True, eq=False)
class Windows:
    """Scenes and their embeddings, in files.

    Parameters
    ----------
    folder : Path
        Where the files are.
    count : int
        Number of scenes.
    seed : int
        Seed of the first one.
    """

    folder: Path
    count: int
    seed: int

    def encode(self) -> None:
        """Make and encode the scenes that are missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [i for i in range(self.count) if not self._path(i).is_file()]
        if not missing:
            return
        predictor = load_model(PARENT, device="cpu")
        started = time.monotonic()
        for number, i in enumerate(missing, start=1):
            scene = make(self.seed + i)
            embedding = predictor.embed(scene.pixels)
            pixel_values = embedding.transform.pixel_values(scene.pixels)
            part = self._path(i).with_suffix(".part.npz")
            np.savez(
                part,
                embedding=embedding.half()[0],
                pixel_values=pixel_values[0].half().numpy(),
                targets=instance_targets(scene.labels),
            )
            part.replace(self._path(i))
            if number % 100 == 0:
                seconds = (
                    (time.monotonic() - started) / number * (len(missing) - number)
                )
                print(
                    f"encoded {number} of {len(missing)}, {seconds:.0f} s left",
                    flush=True,
                )

    def batch(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Read embeddings, inputs and targets of some scenes."""
        found = []
        for i in numbers:
            with np.load(self._path(int(i))) as file:
                found.append(
                    [file[key] for key in ("embedding", "pixel_values", "targets")]
                )
        embeddings, pixels, targets = (
            torch.from_numpy(np.stack(part)).float()
            for part in zip(*found, strict=True)
        )
        last = torch.channels_last
        return (
            embeddings.to(memory_format=last),
            pixels.to(memory_format=last),
            targets / 255,
        )

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.seed + number}.npz"


class Trainer:
    """Training run with an average of the weights.

    Parameters
    ----------
    windows, held_out : Windows
        Scenes to train on, and to validate with.
    folder : Path
        Where the weights go.
    minutes : float
        Time of the training.
    """

    def __init__(
        self, windows: Windows, held_out: Windows, folder: Path, minutes: float
    ) -> None:
        torch.manual_seed(0)
        self.windows, self.held_out, self.folder = windows, held_out, folder
        self.seconds = 60 * minutes
        self.head = InstanceHead().to(memory_format=torch.channels_last)
        self.average = InstanceHead()
        self.average.load_state_dict(self.head.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.head.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY
        )
        self.curve: list[list[float]] = []

    def run(self) -> None:
        """Train until the time is over, and write the averaged weights."""
        rng, started, step = np.random.default_rng(0), time.monotonic(), 0
        order: list[int] = []
        recent: list[float] = []
        while (elapsed := time.monotonic() - started) < self.seconds:
            if len(order) < BATCH:
                order += rng.permutation(self.windows.count).tolist()
            numbers, order = np.array(order[:BATCH]), order[BATCH:]
            decay = 0.5 * (1 + math.cos(math.pi * elapsed / self.seconds))
            rate = RATE * min(1, (step + 1) / WARM_UP) * max(decay, 0.01)
            recent.append(self._step(numbers, rate, step))
            step += 1
            if step % LOG_EVERY == 0:
                self.curve.append([step, float(np.mean(recent)), float("nan")])
                recent = []
            if step % VALIDATE_EVERY == 0:
                self._report(step, elapsed)
        self._report(step, self.seconds)

    def _step(self, numbers: NDArray[np.int64], rate: float, step: int) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        embeddings, pixels, targets = self.windows.batch(numbers)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.head.logits(embeddings, pixels)
        loss = head_losses(logits.float(), targets).sum()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimiser.step()
        keep = min(AVERAGE, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, latest in zip(
                self.average.parameters(), self.head.parameters(), strict=True
            ):
                mean.lerp_(latest, 1 - keep)
        return float(loss)

    @torch.inference_mode()
    def _report(self, step: int, elapsed: float) -> None:
        """Validate, and write weights and curves."""
        found = []
        for first in range(0, self.held_out.count, BATCH):
            last = min(first + BATCH, self.held_out.count)
            embeddings, pixels, targets = self.held_out.batch(np.arange(first, last))
            found.append(head_losses(self.average.logits(embeddings, pixels), targets))
        parts = torch.stack(found).mean(0)
        if self.curve:
            self.curve[-1][2] = float(parts.sum())
        print(
            f"{elapsed / 60:.1f} min, step {step}: loss {self.curve[-1][1]:.3f}, "
            "held out " + ", ".join(f"{part:.3f}" for part in parts.tolist()),
            flush=True,
        )
        state = {key: value.half() for key, value in self.average.state_dict().items()}
        save_file(state, self.folder / "instance_head.safetensors")
        with (self.folder / "curves.csv").open(
            "w", newline="", encoding="utf-8"
        ) as file:
            rows = csv.writer(file)
            rows.writerow(["step", "loss", "held_out_loss"])
            rows.writerows(self.curve)


def main() -> None:
    """Make the data, and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("instance_head"))
    parser.add_argument("--windows", type=int, default=1800)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--encode-only", action="store_true")
    options = parser.parse_args()
    windows = Windows(options.folder / "windows", options.windows, TRAIN_SEED)
    held_out = Windows(
        options.folder / "held_out", max(options.windows // 30, 4), VALIDATE_SEED
    )
    held_out.encode()
    windows.encode()
    if not options.encode_only:
        Trainer(windows, held_out, options.folder, options.minutes).run()


if __name__ == "__main__":
    main()
