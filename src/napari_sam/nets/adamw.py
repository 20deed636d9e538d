"""AdamW (Loshchilov & Hutter 2019), without torch's compiler.

Every optimiser of `torch.optim` loads torch's compiler at its first step, and with it
triton, where that is installed. Triton's LLVM ends the process when a software renderer
(Mesa's llvmpipe) has loaded another LLVM for the viewer. The steps are the same numbers
as those of `torch.optim.AdamW` on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

_BETAS = 0.9, 0.999
_EPSILON = 1e-8
_ENTRIES = ("step", "exp_avg", "exp_avg_sq")


class AdamW:
    """Optimiser with decoupled weight decay.

    Parameters
    ----------
    parameters : iterable of Tensor
        The trained weights; those without a gradient are left as they are.
    weight_decay : float
        Fraction of the learning rate by which weights shrink in each step.

    Attributes
    ----------
    learning_rate : float
        Of the next step.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._weight_decay = weight_decay
        self._state: dict[int, dict[str, Tensor]] = {}
        self.learning_rate = 1e-3

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights by their gradients."""
        for number, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            if gradient is None:
                continue
            state = self._state.get(number)
            if state is None:
                state = self._state[number] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
            self._update(parameter, gradient, state)

    def _update(
        self, parameter: Tensor, gradient: Tensor, state: Mapping[str, Tensor]
    ) -> None:
        rate, (first, second) = self.learning_rate, _BETAS
        state["step"] += 1
        count = float(state["step"])
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        parameter.mul_(1 - rate * self._weight_decay)
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (1 - second**count) ** 0.5
        denominator = (square.sqrt() / root).add_(_EPSILON)
        parameter.addcdiv_(mean, denominator, value=-rate / (1 - first**count))

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as tensors named by number of the weight, and entry."""
        return {
            f"{number}.{name}": value
            for number, entries in self._state.items()
            for name, value in entries.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state from `tensors`."""
        self._state = {}
        for number, parameter in enumerate(self._parameters):
            if f"{number}.step" in tensors:
                self._state[number] = {
                    name: tensors[f"{number}.{name}"]
                    .clone()
                    .to("cpu" if name == "step" else parameter.device)
                    for name in _ENTRIES
                }
