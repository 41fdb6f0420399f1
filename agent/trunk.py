"""The layers below the lowest adapter: what they compute never changes, so it is computed once.

With adapters on the upper half of the layers only, an epoch costs about half; what that costs in
learning stands in CHANGELOG.md. A model that cannot be cut so (its decoder has no plain list of
layers, or scales its embeddings) is trained whole.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor, nn

from agent.activations import Activations
from agent.agreement import agree
from agent.backprop import WrittenOut, can_read
from agent.lanes import lanes
from agent.losses import Example, Packed, batches, pack, target_logits

_TOKENS: Final = 256  # of one forward pass without gradients: attention is quadratic
_PROBES: Final = (Example(tuple(range(5, 15)), 1), Example(tuple(range(20, 27)), 3))


class Trunk:
    """The first `depth` layers of a network with an adapter; depth 0 is no trunk at all."""

    def __init__(self, network: PeftModel) -> None:
        self._network = network
        self._decoder: Any = network.get_base_model().get_decoder()  # type: ignore[operator]
        self.depth = _lowest_adapted(network) if _has_plain_layers(self._decoder) else 0
        self._read: Callable[[Packed], Tensor] = self._by_network
        if self.depth and not self._cuts_cleanly():
            self.depth = 0
        if self.depth and can_read(network):
            self._write_out()

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

    def _remembered(self, batch: Sequence[Example]) -> list[Example]:
        states = self._read(pack(batch, self._network.device))
        parts = torch.split(states, [len(example) for example in batch])
        return [replace(one, states=part.clone()) for one, part in zip(batch, parts, strict=True)]

    @torch.no_grad()
    def _by_network(self, batch: Packed) -> Tensor:
        """[tokens, width]"""
        output = self._decoder(
            input_ids=batch.tokens, position_ids=batch.positions, use_cache=False
        )
        states: Tensor = output.last_hidden_state[0]
        return states

    def _write_out(self) -> None:
        """Read by what is written out, if that says the same: in a fraction of the time."""
        expected = self._said_in_parts()
        with self._alone():
            self._read = WrittenOut(self._network).states
        if not agree(self._said_in_parts(), expected):
            self._read = self._by_network

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
        whole = target_logits(self._network, pack(_PROBES, self._network.device))
        return torch.allclose(whole, self._said_in_parts(), rtol=1e-3, atol=1e-2)

    @torch.no_grad()
    def _said_in_parts(self) -> Tensor:
        """Logits after trunk and rest."""
        remembered = self._remember(_PROBES)
        with self.cut_off():
            return target_logits(self._network, pack(remembered, self._network.device))


def _has_plain_layers(decoder: nn.Module) -> bool:
    layers, norm = getattr(decoder, "layers", None), getattr(decoder, "norm", None)
    return isinstance(layers, nn.ModuleList) and isinstance(norm, nn.Module)


def _lowest_adapted(network: PeftModel) -> int:
    """Index of the first layer with an adapter."""
    chosen = network.active_peft_config.layers_to_transform
    return min(chosen) if isinstance(chosen, list) and chosen else 0
