"""Low-rank additions to frozen linear layers (Hu et al., 2021), kept apart from what is frozen."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["LowRankLinear", "add_low_rank", "without_additions"]


class LowRankLinear(nn.Linear):
    """A linear layer whose frozen weight has a trained addition: W x + b + up (down x).

    Args:
        layer: what it stands for; its weight and bias keep their names.
        rank: of the addition.
    """

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__(layer.in_features, layer.out_features)
        # Here, as transformers would begin it by the rules of the model that the layer is part of.
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) * layer.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))
        self.active = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in_features) -> (…, out_features)."""
        if not self.active:
            return super().forward(x)
        addition = F.linear(F.linear(x, self.down), self.up)
        changed: torch.Tensor = super().forward(x) + addition
        return changed


def add_low_rank(module: nn.Module, rank: int) -> None:
    """Give every linear layer inside a module an addition."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, LowRankLinear(child, rank))


@contextmanager
def without_additions(module: nn.Module) -> Iterator[None]:
    """Inside, the layers of a module are those that were frozen."""
    layers = [layer for layer in module.modules() if isinstance(layer, LowRankLinear)]
    for layer in layers:
        layer.active = False
    try:
        yield
    finally:
        for layer in layers:
            layer.active = True
