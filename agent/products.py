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
_Pair = tuple[Tensor, Tensor | None]  # weight [out, in] and bias [out]


def packs(network: nn.Module) -> bool:
    """Whether products with packed weights are faster here, and the copy fits."""
    weights = list(network.parameters())
    able = torch.cpu.get_capabilities()
    native = able.get("avx512_bf16") or able.get("amx_bf16")
    fast = weights[0].dtype == torch.float32 or (weights[0].dtype == torch.bfloat16 and native)
    able_to_pack = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    here = weights[0].device.type == "cpu" and able_to_pack
    return bool(fast and here) and sum(one.nbytes for one in weights) <= _SHARE * _memory()


class Product:
    """What linear modules with the same input make of it: x [n, in] -> [n, all their out]."""

    def __init__(self, *linear: nn.Linear, pack: bool) -> None:
        self.key = key(*linear)
        self._pairs = [(one.weight, one.bias) for one in linear]
        self._packed = _pack(self._pairs) if pack else None

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed is not None:
            return _multiply(x, self._packed)
        found = [F.linear(x, *pair) for pair in self._pairs]
        return torch.cat(found, dim=-1) if len(found) > 1 else found[0]


def key(*linear: nn.Linear) -> tuple[int, ...]:
    """Which weights these are; good as long as somebody holds them."""
    return tuple(id(part) for one in linear for part in (one.weight, one.bias))


class Frozen:
    """A weight [out, in] that is not trained; it packs what is needed when it is needed."""

    def __init__(self, weight: Tensor, bias: Tensor | None, pack: bool) -> None:
        self._pair = (weight.detach(), None if bias is None else bias.detach())
        self._pack = pack
        self._there: _Pair | None = None
        self._back: _Pair | None = None

    def there(self, x: Tensor) -> Tensor:
        """[n, in] -> [n, out]"""
        if not self._pack:
            return F.linear(x, *self._pair)
        self._there = self._there or _pack([self._pair])
        return _multiply(x, self._there)

    def back(self, gradient: Tensor) -> Tensor:
        """Of what comes out -> of what went in."""
        if not self._pack:
            return gradient @ self._pair[0]
        self._back = self._back or _pack([(self._pair[0].T, None)])
        return _multiply(gradient.contiguous(), self._back)


@contextmanager
def packed(network: nn.Module) -> Iterator[None]:
    """Inside, frozen linear modules work with packed weights, those of adapters apart; in float32
    alone: in bfloat16 the calls cost more than it gains.

    Nobody may change such a weight meanwhile. Gradients pass through.
    """
    pack = packs(network) and next(network.parameters()).dtype == torch.float32
    changed = [one for name, one in network.named_modules() if pack and _is_frozen(name, one)]
    for one in changed:
        one.forward = _forward(Frozen(one.weight, one.bias, pack))
    try:
        yield
    finally:
        for one in changed:
            del one.forward


def _is_frozen(name: str, module: nn.Module) -> TypeGuard[nn.Linear]:
    if not isinstance(module, nn.Linear) or ".lora_" in name:
        return False
    return not module.weight.requires_grad and "forward" not in vars(module)


def _forward(frozen: Frozen) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            found: Tensor = _Through.apply(x, frozen)  # type: ignore[no-untyped-call]
            return found
        return frozen.there(x)

    return forward


class _Through(torch.autograd.Function):
    """A product whose weights get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frozen: Frozen) -> Tensor:
        ctx.frozen = frozen
        return frozen.there(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.frozen.back(gradient), None


@torch.no_grad()
def _pack(pairs: Sequence[_Pair]) -> _Pair:
    """One below the other."""
    biases = [bias for _, bias in pairs if bias is not None]
    whole = torch.cat([weight for weight, _ in pairs])
    weight = torch.ops.mkldnn._reorder_linear_weight(whole)
    return weight, torch.cat(biases) if biases else None


def _multiply(x: Tensor, pair: _Pair) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, *pair, "none", [], "")
    return product


def _memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
