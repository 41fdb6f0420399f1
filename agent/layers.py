"""The weights of a plain Llama or Qwen2, as the decoder that is written out multiplies them."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from agent.models import LanguageModel
from agent.products import Product, packs, pairs

_Key = tuple[int, ...]  # ids of weights and biases: whoever holds the product holds them, too


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of a layer, in the order of their use."""

    before: Tensor
    attend: Product  # queries, keys and values
    out: Product
    between: Tensor
    widen: Product  # gate and up
    down: Product


@dataclass(frozen=True, slots=True)
class Weights:
    """All that is multiplied."""

    layers: tuple[Layer, ...]
    head: Product
    products: Mapping[_Key, Product]  # all of them, by the weights that they are of


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
        attention, mlp = one.self_attn, one.mlp
        layers.append(
            Layer(
                before=one.input_layernorm.weight,
                attend=product(attention.q_proj, attention.k_proj, attention.v_proj),
                out=product(attention.o_proj),
                between=one.post_attention_layernorm.weight,
                widen=product(mlp.gate_proj, mlp.up_proj),
                down=product(mlp.down_proj),
            )
        )
    return Weights(tuple(layers), product(network.get_output_embeddings()), products)
