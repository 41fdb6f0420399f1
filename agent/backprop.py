"""A plain Llama or Qwen2 written out to be trained: a loss and the gradients of every B.

Every A of its adapter is frozen (nullspace.py). So A is one more frozen weight and is multiplied
together with those that take the same input, packed (products.py); each step of the way there
returns the step of the way back, so nothing is recorded and nothing changes its number format on
the way. Layers without an adapter are read in the same way: the trunk. Figures in CHANGELOG.md;
equality with autograd is tested.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.nn import functional as F

from agent.layers import stacks
from agent.losses import Packed, study_loss
from agent.nullspace import listener
from agent.plain import is_plain
from agent.products import Pair, Product, packs, pairs
from agent.rotary import Turn, turn, turned, turned_back

Found = dict[Tensor, Tensor]  # gradient [out, rank] of each B
Back = Callable[[Tensor, Found], Tensor]  # of what comes out -> of what went in


def can_read(network: PeftModel) -> bool:
    """Whether its layers are written out here."""
    base: Any = network.get_base_model()
    return is_plain(base) and base.device.type == "cpu"


def can_train(network: PeftModel) -> bool:
    """Whether its adapter is one whose gradients are written out, too."""
    base: Any = network.get_base_model()
    return can_read(network) and all(
        _listens_as_one(stack) for layer in base.get_decoder().layers for stack in stacks(layer)
    )


class WrittenOut:
    """The layers of a network as it stands when this is made: whole, or one side of a cut."""

    def __init__(self, network: PeftModel) -> None:
        base: Any = network.get_base_model()
        self._decoder = base.get_decoder()
        self._pack = packs(base)
        self._eps = float(base.config.rms_norm_eps)
        self._layers = [_Layer(one, self._eps, self._pack) for one in self._decoder.layers]
        head = base.get_output_embeddings()
        self._head = Product(pairs(head), self._pack)

    @torch.no_grad()
    def gradients(
        self, batch: Packed, weights: Sequence[Tensor], lead: float, general: float
    ) -> tuple[float, tuple[Tensor | None, ...]]:
        """The study loss of a batch, and its gradient for each of the weights."""
        x, steps = self._read(batch)
        loss, d = self._loss(x, batch, lead, general)
        found: Found = {}
        for back in reversed(steps):
            d = back(d, found)
        return loss, tuple(found.get(weight) for weight in weights)

    @torch.no_grad()
    def states(self, batch: Packed) -> Tensor:
        """What comes out of the last layer, [tokens, width]."""
        return self._read(batch, keep=False)[0]

    def _read(self, batch: Packed, keep: bool = True) -> tuple[Tensor, list[Back]]:
        """And the steps of the way back, unless they are not to be kept."""
        x = self._entered(batch)
        cos, sin = self._decoder.rotary_emb(x[None], batch.positions)
        scene = _Scene(turn(cos[0], sin[0]), _mask(batch.positions[0], x))
        steps = list[Back]()
        for layer in self._layers:
            x, back = layer(x, scene)
            steps += [back] if keep else []
        return x, steps

    def _entered(self, batch: Packed) -> Tensor:
        """[tokens, width]"""
        if batch.states is not None:
            return batch.states[0]
        found: Tensor = self._decoder.embed_tokens(batch.tokens[0])
        return found

    def _loss(self, x: Tensor, batch: Packed, lead: float, general: float) -> tuple[float, Tensor]:
        """And its gradient for what comes out of the last layer."""
        rows, back = _normed(x[batch.sources], self._decoder.norm.weight, self._eps)
        logits = self._head(rows).float().requires_grad_()
        with torch.enable_grad():
            loss = study_loss(logits, batch, lead, general)
        (d,) = torch.autograd.grad(loss, logits)
        whole = torch.zeros_like(x)
        whole[batch.sources] = back(self._head.back(d.to(x.dtype)), {})
        return float(loss), whole


@dataclass(frozen=True, slots=True)
class _Scene:
    """What all layers of one batch share."""

    turn: Turn
    mask: Tensor  # [tokens, tokens], added to the scores


class _Layer:
    """Forward, with its way back."""

    def __init__(self, layer: Any, eps: float, pack: bool) -> None:
        self._before, self._between = (
            one.weight for one in (layer.input_layernorm, layer.post_attention_layernorm)
        )
        self._attend, self._out, self._widen, self._down = (
            _Stack(stack, pack) for stack in stacks(layer)
        )
        attention, self._eps = layer.self_attn, eps
        self._width, self._scale = int(attention.head_dim), float(attention.scaling)
        self._kept = self._attend.sizes[1] // self._width  # heads of keys, and of values

    def __call__(self, x: Tensor, scene: _Scene) -> tuple[Tensor, Back]:
        h, back_before = _normed(x, self._before, self._eps)
        h, back_attend = self._attend(h)
        h, back_mixed = self._mixed(h, scene)
        h, back_out = self._out(h)
        x = x + h
        h, back_between = _normed(x, self._between, self._eps)
        h, back_widen = self._widen(h)
        h, back_gated = _gated(h)
        h, back_down = self._down(h)

        def back(d: Tensor, found: Found) -> Tensor:
            inner = d
            for step in (back_down, back_gated, back_widen, back_between):
                inner = step(inner, found)
            d = inner = d + inner
            for step in (back_out, back_mixed, back_attend, back_before):
                inner = step(inner, found)
            return d + inner

        return x + h, back

    def _mixed(self, asked: Tensor, scene: _Scene) -> tuple[Tensor, Back]:
        """Attention: queries, keys and values [tokens, all heads * width] -> [tokens, width]. The
        heads of queries that share keys are rows of one product."""
        tokens, kept, scale = len(asked), self._kept, self._scale
        heads = asked.view(tokens, -1, self._width)
        both = turned(heads[:, :-kept], scene.turn)
        query = _grouped(both[:, :-kept], kept)
        key, value = both[:, -kept:].transpose(0, 1), heads[:, -kept:].transpose(0, 1)
        mask = scene.mask.repeat(query.shape[1] // tokens, 1)
        chances = torch.baddbmm(mask, query, key.transpose(1, 2), alpha=scale).softmax(-1)

        def back(d: Tensor, found: Found) -> Tensor:
            d = _grouped(d.view(tokens, -1, self._width), kept)
            d_value = torch.bmm(chances.transpose(1, 2), d)
            d_chances = torch.bmm(d, value.transpose(1, 2))
            d_scores = torch._softmax_backward_data(d_chances, chances, -1, d.dtype).mul_(scale)
            d_query = _ungrouped(torch.bmm(d_scores, key), tokens)
            d_key = torch.bmm(d_scores.transpose(1, 2), query).transpose(0, 1)
            d_both = turned_back(torch.cat([d_query, d_key], dim=1), scene.turn)
            return torch.cat([d_both, d_value.transpose(0, 1)], dim=1).view(tokens, -1)

        return _ungrouped(torch.bmm(chances, value), tokens).reshape(tokens, -1), back


class _Stack:
    """Linear modules with the same input, with what an adapter adds: x W' + s (x A') B'."""

    def __init__(self, modules: Sequence[nn.Module], pack: bool) -> None:
        adapted = [one for one in modules if isinstance(one, Linear)]
        bases: list[Any] = [one.get_base_layer() for one in adapted] or list(modules)
        self._scale = _scale(adapted[0]) if adapted else 0.0
        self._speakers = [_speaker(one) for one in adapted]
        self.sizes = [len(one.weight) for one in bases]
        self._frozen = Product([*pairs(*bases), *_listening(adapted, bases[0])], pack)

    def __call__(self, x: Tensor) -> tuple[Tensor, Back]:
        if not self._speakers:
            return self._frozen(x), lambda d, found: self._frozen.back(d)
        speaker = torch.cat(self._speakers).to(x.dtype)
        out, heard = self._frozen(x).tensor_split([len(speaker)], dim=1)

        def back(d: Tensor, found: Found) -> Tensor:
            spoken = torch.split((d.T @ heard).float().mul_(self._scale), self.sizes)
            found.update(zip(self._speakers, spoken, strict=True))
            d_heard = (d @ speaker).mul_(self._scale)
            return self._frozen.back(torch.cat([d, d_heard], dim=1))

        return torch.addmm(out, heard, speaker.T, alpha=self._scale), back


def _normed(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Back]:
    """Root mean square normalisation (Zhang and Sennrich 2019), in float32 as the network's."""
    wide = x.float()
    spread = wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
    straight = wide * spread

    def back(d: Tensor, found: Found) -> Tensor:
        d = d.float() * weight
        along = (d * straight).mean(-1, keepdim=True)
        return torch.addcmul(d, straight, along, value=-1).mul_(spread).to(x.dtype)

    return straight.to(x.dtype) * weight, back


def _gated(wide: Tensor) -> tuple[Tensor, Back]:
    gate, up = wide.chunk(2, dim=-1)
    opened = F.silu(gate)

    def back(d: Tensor, found: Found) -> Tensor:
        d_gate = torch.ops.aten.silu_backward(d * up, gate)
        return torch.cat([d_gate, d * opened], dim=-1)

    return opened * up, back


def _grouped(heads: Tensor, kept: int) -> Tensor:
    """[tokens, heads, width] -> [kept, heads of each, tokens] * width, the middle ones as rows."""
    tokens, count, width = heads.shape
    parts = heads.view(tokens, kept, count // kept, width).permute(1, 2, 0, 3)
    return parts.reshape(kept, -1, width)


def _ungrouped(rows: Tensor, tokens: int) -> Tensor:
    """The reverse."""
    kept, _, width = rows.shape
    return rows.view(kept, -1, tokens, width).permute(2, 0, 1, 3).reshape(tokens, -1, width)


def _mask(positions: Tensor, like: Tensor) -> Tensor:
    """Each token sees those before it in its example, and itself."""
    example = (positions == 0).cumsum(0)
    apart = example[:, None] != example[None]
    mask = torch.zeros(apart.shape, dtype=like.dtype)
    return mask.masked_fill_(apart | (positions[:, None] < positions[None]), float("-inf"))


def _listens_as_one(stack: Sequence[Any]) -> bool:
    """Whether all have an adapter that is as it is wanted here."""
    if not all(isinstance(one, Linear) and len(one.lora_A) == 1 for one in stack):
        return False
    first = listener(stack[0])
    return all(
        not listener(one).requires_grad
        and torch.equal(listener(one), first)
        and _scale(one) == _scale(stack[0])
        for one in stack
    )


def _speaker(module: Linear) -> Tensor:
    """B [out, rank]."""
    [one] = module.lora_B.values()
    return one.get_parameter("weight")


def _scale(module: Linear) -> float:
    [one] = module.scaling.values()
    return float(one)


def _listening(adapted: Sequence[Linear], base: nn.Linear) -> list[Pair]:
    """The A of all, in the base's number format."""
    weights = [listener(one).to(base.weight.dtype) for one in adapted[:1]]
    return [(one, None if base.bias is None else one.new_zeros(len(one))) for one in weights]
