"""Products with weights that stay as they are, kept in the order in which a processor reads them.

Torch rearranges a matrix at each product; oneDNN can do it once, as torch.compile has it done for
frozen weights. In float32 it also replaces a library that is slow on other makers' processors: two
to three times faster, in bfloat16 a third (CHANGELOG.md). The price is a copy of the weights.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SHARE: Final = 1 / 8  # of the machine's memory: a model beyond is not copied
Pair = tuple[Tensor, Tensor | None]  # weight [out, in] and bias [out]


def packs(network: nn.Module) -> bool:
    """Whether products with packed weights are faster here, and the copy fits."""
    weights = list(network.parameters())
    able = torch.cpu.get_capabilities()
    native = able.get("avx512_bf16") or able.get("amx_bf16")
    fast = weights[0].dtype == torch.float32 or (weights[0].dtype == torch.bfloat16 and native)
    able_to_pack = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    here = weights[0].device.type == "cpu" and able_to_pack
    return bool(fast and here) and sum(one.nbytes for one in weights) <= _SHARE * _memory()


def pairs(*linear: nn.Linear) -> list[Pair]:
    """Their weights and biases."""
    return [(one.weight, one.bias) for one in linear]


class Product:
    """What weights that are not trained make of the same input, one below the other."""

    def __init__(self, pairs: Sequence[Pair], pack: bool) -> None:
        self._pairs, self._pack = list(pairs), pack
        self._there: Pair | None = None
        self._back: Pair | None = None

    @torch.no_grad()
    def packed(self) -> "Product":
        """Itself, when that work is done for which else the first input waits."""
        if self._pack:
            biases = [bias for _, bias in self._pairs if bias is not None]
            bias = torch.cat(biases) if biases else None
            self._there = _packed(torch.cat([weight for weight, _ in self._pairs])), bias
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """[n, in] -> [n, all out]"""
        if self._pack and self._there is None:
            self.packed()
        if self._there is not None:
            return _multiply(x, self._there)
        found = [F.linear(x, *pair) for pair in self._pairs]
        return torch.cat(found, dim=-1) if len(found) > 1 else found[0]

    @torch.no_grad()
    def back(self, gradient: Tensor) -> Tensor:
        """Of what comes out -> of what went in."""
        weights = [weight for weight, _ in self._pairs]
        if not self._pack:
            parts = torch.split(gradient, [len(one) for one in weights], dim=-1)
            return torch.stack(
                [part @ weight for part, weight in zip(parts, weights, strict=True)]
            ).sum(0)
        if self._back is None:
            self._back = _packed(torch.cat(weights).T), None
        return _multiply(gradient.contiguous(), self._back)


@contextmanager
def packed(network: nn.Module) -> Iterator[None]:
    """Inside, frozen linear modules work with packed weights, those of adapters apart; in float32
    alone: in bfloat16 the calls cost more than it gains.

    Nobody may change such a weight meanwhile. Gradients pass through.
    """
    changed = pack_frozen(network)
    try:
        yield
    finally:
        for one in changed:
            del one.forward


def pack_frozen(network: nn.Module) -> list[nn.Linear]:
    """As packed(), for good; returns the modules that it changed."""
    pack = packs(network) and next(network.parameters()).dtype == torch.float32
    changed = [one for name, one in network.named_modules() if pack and _is_frozen(name, one)]
    for one in changed:
        one.forward = _forward(Product(pairs(one), pack))
    return changed


def _is_frozen(name: str, module: nn.Module) -> TypeGuard[nn.Linear]:
    if not isinstance(module, nn.Linear) or ".lora_" in name:
        return False
    return not module.weight.requires_grad and "forward" not in vars(module)


def _forward(product: Product) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            found: Tensor = _Through.apply(x, product)  # type: ignore[no-untyped-call]
            return found
        return product(x)

    return forward


class _Through(torch.autograd.Function):
    """A product whose weights get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, product: Product) -> Tensor:
        ctx.product = product
        return product(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.product.back(gradient), None


def _packed(weight: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return found


def _multiply(x: Tensor, pair: Pair) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, *pair, "none", [], "")
    return product


def _memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
