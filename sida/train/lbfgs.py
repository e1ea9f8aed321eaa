"""L-BFGS for small convex problems: heads and scalings that are fitted to their optimum."""

from collections.abc import Callable, Sequence

import torch

__all__ = ["minimize"]


def minimize(
    parameters: Sequence[torch.Tensor],
    loss: Callable[[], torch.Tensor],
    iterations: int,
    history: int = 100,
) -> None:
    """Move parameters, in place, to the minimum of a loss with a gradient (Liu, Nocedal, 1989)."""
    optimizer = torch.optim.LBFGS(
        list(parameters),
        max_iter=iterations,
        history_size=history,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
