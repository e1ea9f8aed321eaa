"""Low-rank additions to frozen linear layers (Hu et al., 2021), kept apart from what is frozen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["LowRank", "LowRankAdditions", "linear_layers"]


class LowRank(nn.Module):
    """up (down x), which is zero at the start."""

    def __init__(self, in_features: int, out_features: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, in_features) * in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in_features) -> (…, out_features), in the dtype of `x`."""
        return F.linear(F.linear(x, self.down.to(x.dtype)), self.up.to(x.dtype))


class LowRankAdditions(nn.Module):
    """Additions to layers of another module, which count inside `with additions.active():` alone.

    So one frozen network can have several sets of them, each for what it is used for.

    Args:
        layers: the frozen layers, in the order of `additions`; they stay part of the other module.
    """

    def __init__(self, layers: Sequence[nn.Linear], rank: int) -> None:
        super().__init__()
        self.additions = nn.ModuleList(
            LowRank(layer.in_features, layer.out_features, rank) for layer in layers
        )
        self._layers = tuple(layers)  # a tuple: as a list of modules they would be parameters here

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, each layer gives W x + b + up (down x)."""
        handles = [
            layer.register_forward_hook(_adding(addition))
            for layer, addition in zip(self._layers, self.additions, strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _adding(
    addition: nn.Module,
) -> Callable[[nn.Module, tuple[torch.Tensor], torch.Tensor], torch.Tensor]:
    """A forward hook that adds to a layer's output."""
    return lambda layer, inputs, output: output + addition(inputs[0])


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    """All linear layers inside a module, in the order of its definition."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
