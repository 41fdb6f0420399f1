"""Where an adapter may listen: directions that what is studied uses and what is known does not.

A LoRA layer adds B A x. If A is blind to the inputs that general knowledge gives, they pass through
as before, whatever B learns: adapters in the null space of what is to be kept (LoRA-Null, Tang et
al. 2025). Here the rows of A are the directions v with the largest ratio of energy, v'Sv on what is
studied over v'Gv on what the base says itself, and stay as they are; only B is trained.

Against a random A that is trained too, about a third less of general knowledge is lost at a like
learned sum: CHANGELOG.md.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch import Tensor, nn

from agent.losses import Example, batches, pack, target_logits

_TOKENS = 512  # of one forward pass without gradients: attention is quadratic
_SAMPLED = 80  # items of what is studied
_FLOOR = 0.02  # of the mean energy, added to each direction of what is known: it was a sample
_ROUNDS = 8  # of the search for the directions


def freeze(network: PeftModel) -> None:
    """Leave every A as it is; B alone is trained."""
    for layer in _layers(network).values():
        for one in layer.lora_A.values():
            one.requires_grad_(False)


def aim(network: PeftModel, studied: Sequence[Example], known: Sequence[Example]) -> None:
    """Point each A at what is studied and away from what is known, and freeze it.

    The adapter must be fresh: with B at zero nothing changes yet.
    """
    studied = studied[:: math.ceil(len(studied) / _SAMPLED)]
    layers = _layers(network)
    wanted, first = _energy(network, layers, studied)
    unwanted, _ = _energy(network, layers, known)
    found = {
        name: _directions(listener(layers[name]).data, wanted[name], unwanted[name])
        for name in wanted
    }
    for name, layer in layers.items():
        listener(layer).data = found[first[name]].clone()
    freeze(network)


def _layers(network: PeftModel) -> dict[str, Linear]:
    return {name: one for name, one in network.named_modules() if isinstance(one, Linear)}


def listener(layer: Linear) -> nn.Parameter:
    """The layer's A [rank, in], of its one adapter."""
    [one] = layer.lora_A.values()
    return one.get_parameter("weight")


def _energy(
    network: PeftModel, layers: dict[str, Linear], examples: Sequence[Example]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Mean outer product [width, width] of each input, by the first layer that takes it; and that
    layer's name, by each layer's."""
    sums: dict[str, Tensor] = {}
    first: dict[str, str] = {}
    with torch.no_grad(), _listening(layers, sums, first):
        for batch in batches(examples, _TOKENS):
            target_logits(network, pack(batch, network.device))
    tokens = sum(map(len, examples))
    return {name: total / tokens for name, total in sums.items()}, first


@contextmanager
def _listening(
    layers: dict[str, Linear], sums: dict[str, Tensor], first: dict[str, str]
) -> Iterator[None]:
    """Inside, what goes into the layers is added up in sums; those that share an input, once."""
    last: list[tuple[Tensor, str]] = []  # the newest input and its first layer

    def listen(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hear(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if not last or last[0][0] is not inputs[0]:
                rows = inputs[0].flatten(0, -2).float()
                product = rows.T @ rows
                sums[name] = sums[name] + product if name in sums else product
                last[:] = [(inputs[0], name)]
            first[name] = last[0][1]

        return hear

    hooks = [layer.register_forward_pre_hook(listen(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _directions(start: Tensor, wanted: Tensor, unwanted: Tensor) -> Tensor:
    """Rows [rank, width] of the largest ratio of energies, as loud on what is wanted as `start`.

    The generalised eigenvectors of the two, by subspace iteration from `start`.
    """
    width = start.shape[1]
    floor = _FLOOR * unwanted.diagonal().mean() * torch.eye(width, device=start.device)
    root = torch.linalg.cholesky(unwanted + floor)
    halved = torch.linalg.solve_triangular(root, wanted, upper=False)
    ratio = torch.linalg.solve_triangular(root, halved.T, upper=False)
    basis = start.float().T[:, :width]  # a space has no more directions than dimensions
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(ratio @ basis).Q
    basis = basis @ torch.linalg.eigh(basis.T @ ratio @ basis).eigenvectors
    rows = torch.linalg.solve_triangular(root.T, basis, upper=True).T
    rows = rows / rows.norm(dim=1, keepdim=True)
    loudness = _loudness(start.float(), wanted) / _loudness(rows, wanted)
    found = torch.zeros_like(start)
    found[: len(rows)] = rows * loudness.sqrt()
    return found


def _loudness(rows: Tensor, energy: Tensor) -> Tensor:
    return (rows @ energy * rows).sum()
