"""The layers below the lowest adapter: what they compute never changes, so it is computed once.

With adapters on the upper half of the layers only, an epoch costs about half; what that costs in
learning stands in CHANGELOG.md. A model that cannot be cut so (its decoder has no plain list of
layers, or scales its embeddings) is trained whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from agent.activations import Activations
from agent.lanes import lanes
from agent.losses import Example, batches, pack, target_logits

_TOKENS = 512  # of one forward pass without gradients: attention is quadratic


class Trunk:
    """The first `depth` layers of a network with an adapter; depth 0 is no trunk at all."""

    def __init__(self, network: PeftModel) -> None:
        self._network = network
        self._decoder: Any = network.get_base_model().get_decoder()  # type: ignore[operator]
        self.depth = _lowest_adapted(network) if _has_plain_layers(self._decoder) else 0
        if self.depth and not self._cuts_cleanly():
            self.depth = 0

    def remember(
        self, examples: Sequence[Example], kept: Activations | None = None
    ) -> list[Example]:
        """The same examples with the trunk's activations [tokens, width], to train the rest on.

        What is kept is not computed again, and what is computed is kept.
        """
        if not self.depth:
            return list(examples)
        known = kept.find(examples) if kept else {}
        new = [place for place in range(len(examples)) if place not in known]
        computed = self._remember([examples[place] for place in new])
        if kept:
            kept.add(computed)
        device = self._network.device
        found = dict(zip(new, computed, strict=True)) | {
            place: replace(examples[place], states=states.to(device))
            for place, states in known.items()
        }
        return [found[place] for place in range(len(examples))]

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Inside, the network is only what stands on the trunk: it takes activations."""
        layers = self._decoder.layers
        self._decoder.layers = layers[self.depth :]
        try:
            yield
        finally:
            self._decoder.layers = layers

    def _remember(self, examples: Sequence[Example]) -> list[Example]:
        cut = batches(examples, _TOKENS)
        with self._alone(), lanes(self._network.device) as pool:
            return [one for part in pool.map(self._remembered, cut) for one in part]

    @torch.no_grad()
    def _remembered(self, batch: Sequence[Example]) -> list[Example]:
        packed = pack(batch, self._network.device)
        output = self._decoder(
            input_ids=packed.tokens, position_ids=packed.positions, use_cache=False
        )
        states = torch.split(output.last_hidden_state[0], [len(example) for example in batch])
        return [
            replace(one, states=state.clone()) for one, state in zip(batch, states, strict=True)
        ]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, the decoder is the trunk: it ends before what stands on it."""
        layers, norm = self._decoder.layers, self._decoder.norm
        self._decoder.layers, self._decoder.norm = layers[: self.depth], nn.Identity()
        try:
            yield
        finally:
            self._decoder.layers, self._decoder.norm = layers, norm

    @torch.no_grad()
    def _cuts_cleanly(self) -> bool:
        """Whether trunk and rest together say what the whole says."""
        device = self._network.device
        examples = [Example(tuple(range(5, 15)), 1), Example(tuple(range(20, 27)), 3)]
        whole = target_logits(self._network, pack(examples, device))
        remembered = self._remember(examples)
        with self.cut_off():
            parts = target_logits(self._network, pack(remembered, device))
        return torch.allclose(whole, parts, rtol=1e-3, atol=1e-2)


def _has_plain_layers(decoder: nn.Module) -> bool:
    layers, norm = getattr(decoder, "layers", None), getattr(decoder, "norm", None)
    return isinstance(layers, nn.ModuleList) and isinstance(norm, nn.Module)


def _lowest_adapted(network: PeftModel) -> int:
    """Index of the first layer with an adapter."""
    chosen = network.active_peft_config.layers_to_transform
    return min(chosen) if isinstance(chosen, list) and chosen else 0
