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
from torch import Tensor, nn

from agent.losses import Example, Packed, batches, pack, target_logits

_TOKENS = 512  # of one forward pass without gradients: attention is quadratic


class Trunk:
    """The first `depth` layers of a network with an adapter; depth 0 is no trunk at all."""

    def __init__(self, network: PeftModel) -> None:
        self._network = network
        self._decoder: Any = network.get_base_model().get_decoder()  # type: ignore[operator]
        self.depth = _lowest_adapted(network) if _has_plain_layers(self._decoder) else 0
        if self.depth and not self._cuts_cleanly():
            self.depth = 0

    def remember(self, examples: Sequence[Example]) -> list[Example]:
        """The same examples with the trunk's activations [tokens, width], to train the rest on."""
        return self._remember(examples) if self.depth else list(examples)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Inside, the network is only what stands on the trunk: it takes activations."""
        layers = self._decoder.layers
        self._decoder.layers = layers[self.depth :]
        try:
            yield
        finally:
            self._decoder.layers = layers

    @torch.no_grad()
    def _remember(self, examples: Sequence[Example]) -> list[Example]:
        result: list[Example] = []
        for batch in batches(examples, _TOKENS):
            packed = pack(batch, self._network.device)
            states = torch.split(self._activations(packed), [len(example) for example in batch])
            result += [
                replace(one, states=state.clone()) for one, state in zip(batch, states, strict=True)
            ]
        return result

    def _activations(self, packed: Packed) -> Tensor:
        """Output of the trunk, [tokens, width]: the decoder's, without what comes after it."""
        layers, norm = self._decoder.layers, self._decoder.norm
        self._decoder.layers, self._decoder.norm = layers[: self.depth], nn.Identity()
        try:
            output = self._decoder(
                input_ids=packed.tokens, position_ids=packed.positions, use_cache=False
            )
        finally:
            self._decoder.layers, self._decoder.norm = layers, norm
        states: Tensor = output.last_hidden_state[0]
        return states

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
