"""The weights of a plain Llama or Qwen2, as the decoder that is written out multiplies them."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.models import LanguageModel
from agent.products import Product, packs, pairs

_Key = tuple[int, ...]  # ids of weights and biases: whoever holds the product holds them, too


class Norm:
    """Root mean square normalisation (Zhang and Sennrich 2019)."""

    def __init__(self, norm: Any) -> None:
        self._weight, self._eps = norm.weight, float(norm.variance_epsilon)
        self._twice = torch.cat([self._weight, self._weight])

    def __call__(self, x: Tensor) -> Tensor:
        """[tokens, width] -> the same"""
        if len(x) > 1:
            return F.rms_norm(x, self._weight.shape, self._weight, self._eps)
        # one call of torch instead of eight: beside its negative, x has no mean
        both = torch.cat([x, -x], dim=-1)
        found = torch.layer_norm(both, self._twice.shape, self._twice, None, self._eps)
        return found.narrow(1, 0, x.shape[1])


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of a layer, in the order of their use."""

    before: Norm
    attend: Product  # queries, keys and values
    out: Product
    between: Norm
    widen: Product  # gate and up
    down: Product


@dataclass(frozen=True, slots=True)
class Weights:
    """All that is multiplied."""

    layers: tuple[Layer, ...]
    last: Norm
    head: Product
    products: Mapping[_Key, Product]  # all of them, by the weights that they are of


def stacks(layer: Any) -> list[list[Any]]:
    """A layer's linear modules, those with the same input together, in the order of their use."""
    attention, mlp = layer.self_attn, layer.mlp
    return [
        [attention.q_proj, attention.k_proj, attention.v_proj],
        [attention.o_proj],
        [mlp.gate_proj, mlp.up_proj],
        [mlp.down_proj],
    ]


def weights(model: LanguageModel) -> Weights:
    """Of a model, all at once."""
    steps = in_steps(model, None)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Weights = end.value
            return found


def in_steps(model: LanguageModel, sibling: Weights | None) -> Generator[None, None, Weights]:
    """A layer a step, so that answers can go on between them. What a sibling has, too, is shared:
    it costs neither time nor memory."""
    network: Any = model.network
    pack, layers = packs(network), list[Layer]()
    known, products = sibling.products if sibling else {}, dict[_Key, Product]()

    def product(*linear: nn.Linear) -> Product:
        mine = pairs(*linear)
        key = tuple(id(part) for pair in mine for part in pair)
        products[key] = known.get(key) or Product(mine, pack).packed()
        return products[key]

    for one in network.get_decoder().layers:
        yield
        attend, out, widen, down = (product(*stack) for stack in stacks(one))
        before, between = Norm(one.input_layernorm), Norm(one.post_attention_layernorm)
        layers.append(Layer(before, attend, out, between, widen, down))
    last = Norm(network.get_decoder().norm)
    return Weights(tuple(layers), last, product(network.get_output_embeddings()), products)
