"""AdamW over an adapter's weights, with what must be known to go on after a cut."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from agent.checkpoint import Point
from agent.losses import Example, batches
from agent.settings import TrainSettings
from memory.errors import TrainingDiverged


class Optimiser:
    """AdamW with warm-up and linear decay over the adapter's weights."""

    def __init__(
        self, network: nn.Module, settings: TrainSettings, course: Sequence[Sequence[Example]]
    ) -> None:
        self.steps = 0
        self._clip = settings.clip
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._adamw = torch.optim.AdamW(
            self.weights, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.planned = sum(len(batches(epoch, settings.batch_tokens)) for epoch in course)
        self._schedule = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
            self._adamw, round(self.planned * settings.warmup), self.planned + 1
        )

    def step(self, loss: float, gradients: Sequence[Tensor | None]) -> None:
        """One update. Raises TrainingDiverged if the loss or a gradient is not finite."""
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        norm = nn.utils.clip_grad_norm_(self.weights, self._clip)
        if not (math.isfinite(loss) and torch.isfinite(norm)):
            raise TrainingDiverged(f"step {self.steps}: loss {loss}, gradient {norm.item()}")
        self._adamw.step()
        self._schedule.step()
        self._adamw.zero_grad()
        self.steps += 1

    def point(self, epochs: int) -> Point:
        """All that must be known to go on from here."""
        tensors = {f"{n} value": weight.detach() for n, weight in enumerate(self.weights)}
        for number, weight in enumerate(self.weights):
            for name, tensor in self._adamw.state[weight].items():
                tensors[f"{number} {name}"] = tensor
        return Point(epochs, self.steps, tensors)

    def go_on(self, point: Point | None) -> int:
        """Go back to a point; returns how many epochs lie behind it."""
        if point is None:
            return 0
        for name, tensor in point.tensors.items():
            number, _, kind = name.partition(" ")
            weight = self.weights[int(number)]
            if kind == "value":
                weight.data.copy_(tensor)
            else:
                self._adamw.state[weight][kind] = tensor.to(weight.device)
        self.steps = point.steps
        self._schedule.load_state_dict(
            {**self._schedule.state_dict(), "last_epoch": point.steps - 1, "_step_count": 2}
        )
        self._schedule.step()
        return point.epochs
