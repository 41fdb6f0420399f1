"""A plain Llama or Qwen2 written out: one pass over the next tokens of many sequences.

What transformers does in a dozen calls and modules is one call of torch here, and rows of different
lengths share each matrix product; only attention is done a shelf at a time (shelves.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from agent.layers import Layer, Weights, weights
from agent.models import LanguageModel
from agent.prefixes import Prefixes
from agent.rotary import Turn, turn, turned
from agent.shelves import Row, Shape, Shelves

_TYPES: Final = ("llama", "qwen2")
_MANY: Final = 5  # rows from which products are faster than torch's own attention
Part = tuple[Any, Sequence[int]]  # a Row and the tokens that follow


def is_plain(network: Any) -> bool:
    """Whether a transformers network is one that is written out here."""
    config = network.config
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ())
    return bool(config.model_type in _TYPES and config.hidden_act == "silu" and not sliding)


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbours on a shelf that read as many tokens each: one call of attention.

    Views are taken of all layers at once, each would cost a layer as much as a small product.
    """

    tokens: slice  # of all that are read
    keys: Sequence[Tensor]  # of each layer [rows, heads, end, width]
    values: Sequence[Tensor]
    keep: Callable[[int, Tensor], None]  # a layer and its new ones [tokens, 2, heads, width]
    mask: Tensor | None  # [rows, heads or 1, queries, end], added to the scores; None: all is seen
    multiplied: bool  # instead of torch's own attention


class PlainDecoder:
    """See decoding.Decoder."""

    def __init__(self, model: LanguageModel, known: Weights | None = None) -> None:
        network: Any = model.network
        self._config = network.config
        self._decoder = network.get_decoder()
        self.weights = known or weights(model)
        config, attention = self._config, self._decoder.layers[0].self_attn
        heads = int(config.num_key_value_heads)
        self._kept, self._turning = heads, heads + int(config.num_attention_heads)
        self._width, self._scale = int(attention.head_dim), float(attention.scaling)
        shape = Shape(
            len(self.weights.layers), heads, self._width, model.network.dtype, model.device
        )
        self._shelves = Shelves(shape)
        self._prefixes = Prefixes()

    @torch.inference_mode()
    def open(self, prompt: Sequence[int]) -> Row:
        """A row that holds what is known of the prompt's beginning."""
        row = Row()
        known, kept = self._prefixes.recall(prompt)
        if kept is not None:
            self._shelves.place(row, len(prompt))
            row.tokens = list(prompt[:known])
            row.kept().copy_(kept[:, :, :, :known])
        return row

    @torch.inference_mode()
    def close(self, row: Any) -> None:
        """Remember the row as the beginning of others."""
        self._prefixes.remember(row)
        self._shelves.drop(row)

    @torch.inference_mode()
    def drop(self, row: Row) -> None:
        """As if it had never been."""
        self._shelves.drop(row)

    @torch.inference_mode()
    def read(self, parts: Sequence[Part], last: Sequence[int] | None = None) -> Tensor:
        """See decoding.Decoder."""
        for row, tokens in parts:
            self._shelves.place(row, len(row.tokens) + len(tokens))
        order = sorted(range(len(parts)), key=lambda i: _place(parts[i]))
        sorted_parts = [parts[i] for i in order]
        states, ends = self._pass(sorted_parts)
        for row, tokens in parts:
            row.tokens.extend(tokens)
        end_of = dict(zip(order, ends, strict=True))
        wanted = last or [1] * len(parts)
        back = [end_of[i] - n for i in range(len(parts)) for n in reversed(range(wanted[i]))]
        return self.weights.head(states[back])

    def rewind(self, row: Any, tokens: int) -> None:
        """See decoding.Decoder. What is read next takes the places of what is forgotten."""
        del row.tokens[len(row.tokens) - tokens :]

    def _pass(self, parts: Sequence[Part]) -> tuple[Tensor, list[int]]:
        """States [tokens, width] after the last layer, and the last token of each part."""
        device = self._decoder.norm.weight.device
        tokens = torch.tensor([token for _, new in parts for token in new], device=device)
        starts = [len(row.tokens) for row, _ in parts]
        positions = torch.tensor(
            [
                start + i
                for start, (_, new) in zip(starts, parts, strict=True)
                for i in range(len(new))
            ],
            device=device,
        )
        x = self._decoder.embed_tokens(tokens)
        places = self._turn(x, positions)
        groups = list(self._groups(parts, positions))
        for number, layer in enumerate(self.weights.layers):
            x = self._layer(number, layer, x, places, groups)
        x = self.weights.last(x)
        ends, total = [], 0
        for _, new in parts:
            total += len(new)
            ends.append(total - 1)
        return x, ends

    def _turn(self, x: Tensor, positions: Tensor) -> Turn:
        """For queries, keys and values, of which the last turn by nothing."""
        cos, sin = self._decoder.rotary_emb(x[None], positions[None])
        cos, sin = (one.expand(-1, self._turning, -1) for one in turn(cos[0], sin[0]))
        still = (0, 0, 0, self._kept)
        return F.pad(cos, still, value=1.0), F.pad(sin, still)

    def _layer(
        self, number: int, layer: Layer, x: Tensor, places: Turn, groups: Sequence[_Group]
    ) -> Tensor:
        h = layer.attend(layer.before(x))
        h = turned(h.view(len(x), -1, self._width), places)
        found = [self._attend(number, one, h[one.tokens]) for one in groups]
        x = x + layer.out(found[0] if len(found) == 1 else torch.cat(found))
        gate, up = layer.widen(layer.between(x)).chunk(2, dim=-1)
        return x + layer.down(F.silu(gate).mul_(up))

    def _attend(self, number: int, group: _Group, new: Tensor) -> Tensor:
        """Keep keys and values of what is new [tokens, heads of all three, width], then attend:
        [tokens, heads * width]."""
        tokens, heads = len(new), self._kept
        group.keep(number, new[:, -2 * heads :].view(tokens, 2, heads, -1))
        keys, values = group.keys[number], group.values[number]
        asked, each = new[:, : -2 * heads], tokens // len(keys)
        if each == 1:
            asked = asked.view(tokens, heads, -1, self._width)
        else:
            asked = asked.view(-1, each, heads, new.shape[1] // heads - 2, self._width)
            asked = asked.permute(0, 2, 3, 1, 4).flatten(2, 3)
        if group.multiplied and group.mask is not None:
            found = _multiplied(asked, keys, values, group.mask, self._scale)
        else:
            found = F.scaled_dot_product_attention(
                asked, keys, values, attn_mask=group.mask, scale=self._scale
            )
        if each > 1:
            found = found.view(len(keys), heads, -1, each, self._width).permute(0, 3, 1, 2, 4)
        return found.reshape(tokens, -1)

    def _groups(self, parts: Sequence[Part], positions: Tensor) -> Iterator[_Group]:
        """Runs of parts in neighbouring slots with as many tokens each."""
        first = start = 0
        for last, (row, new) in enumerate(parts):
            follower = parts[last + 1] if last + 1 < len(parts) else None
            if follower and _follows(row, new, follower):
                continue
            run = parts[first : last + 1]
            tokens = slice(start, start + len(new) * len(run))
            yield self._group(run, tokens, positions[tokens])
            first, start = last + 1, tokens.stop

    def _group(self, run: Sequence[Part], tokens: slice, positions: Tensor) -> _Group:
        """A run's tokens, of all that are read, and their positions."""
        (row, each), shelf = run[0], run[0][0].shelf
        multiplied = len(each) == 1 and len(run) >= _MANY
        longest = max(len(one.tokens) + len(new) for one, new in run)
        end = shelf.capacity if multiplied else longest
        keys, values = shelf.kept[:, :, row.slot : row.slot + len(run), :, :end].unbind(1)
        mask = self._mask(positions.view(len(run), -1), end, multiplied)
        keep = _keep_one(row, len(each)) if len(run) == 1 else _keep_all(run, positions)
        return _Group(tokens, keys.unbind(), values.unbind(), keep, mask, multiplied)

    def _mask(self, positions: Tensor, end: int, all_heads: bool) -> Tensor | None:
        """Positions [rows, new] -> what each query must not see, of all heads or for each; a single
        token is the last one and sees all."""
        if positions.numel() == 1:
            return None
        hidden = torch.arange(end, device=positions.device) > positions[:, None, :, None]
        mask = torch.zeros(
            hidden.shape, dtype=self._decoder.norm.weight.dtype, device=positions.device
        )
        heads = int(self._config.num_key_value_heads)
        each = int(self._config.num_attention_heads) // heads
        mask = mask.masked_fill_(hidden, float("-inf"))
        return mask.repeat(1, heads if all_heads else 1, each, 1)


def _multiplied(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention by two products of matrices, [rows, heads, queries, width]. For one new token a row
    it takes a quarter of the time of torch's own, as long as keys and values lie without gaps."""
    query, keys, values, mask = (one.flatten(0, 1) for one in (query, keys, values, mask))
    scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=scale)
    return torch.bmm(scores.softmax(-1), values).view(*query.shape)


def _keep_one(row: Row, tokens: int) -> Callable[[int, Tensor], None]:
    assert row.shelf is not None, "it was placed"
    start = len(row.tokens)
    places = row.shelf.kept[:, :, row.slot, :, start : start + tokens].unbind()

    def keep(number: int, found: Tensor) -> None:
        places[number].copy_(found.permute(1, 2, 0, 3))

    return keep


def _keep_all(run: Sequence[Part], positions: Tensor) -> Callable[[int, Tensor], None]:
    kept = run[0][0].shelf.kept
    slots = torch.tensor([row.slot for row, new in run for _ in new], device=positions.device)

    def keep(number: int, found: Tensor) -> None:
        kept[number][:, slots, :, positions] = found

    return keep


def _place(part: Part) -> tuple[int, int]:
    row = part[0]
    return row.shelf.capacity, row.slot


def _follows(row: Row, new: Sequence[int], follower: Part) -> bool:
    other, tokens = follower
    beside = other.shelf is row.shelf and other.slot == row.slot + 1
    return beside and len(tokens) == len(new)
