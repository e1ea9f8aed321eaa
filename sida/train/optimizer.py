"""AdamW with its learning rates and weight decay, the average of the weights, and one step."""

import math

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sida.train.config import TrainConfig

__all__ = ["adamw", "average_of", "parameter_groups", "rate_factor", "take_step"]


def adamw(module: torch.nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """The optimiser of a module's trainable parameters."""
    return torch.optim.AdamW(parameter_groups(module, config), betas=config.betas, fused=True)


def average_of(module: torch.nn.Module, config: TrainConfig) -> AveragedModel | None:
    """The exponential average of a module's weights; None where the recipe has none."""
    if not config.average:
        return None
    # A copy of the whole module on its device, frozen weights included.
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(config.average))


def take_step(
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    module: torch.nn.Module,
    average: AveragedModel | None,
) -> float:
    """Take a step, counted from 0, by gradients that are clipped already; returns its rate.

    Args:
        module: the module that `average` is of.
    """
    rate = config.learning_rate * rate_factor(config, step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if average is not None:
        average.update_parameters(module)
    return rate


def rate_factor(config: TrainConfig, step: int) -> float:
    """Share of the highest learning rate at a step, counted from 0."""
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)  # never 0, which would waste the first step
    remaining = 1 - (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    remaining = min(max(remaining, 0.0), 1.0)
    if config.schedule == "linear":
        return remaining
    return 0.5 * (1 - math.cos(math.pi * remaining))


def parameter_groups(module: torch.nn.Module, config: TrainConfig) -> list[dict[str, object]]:
    """Decay for matrices and kernels; none for norms, biases and embeddings."""
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    decayed = [p for n, p in trained if p.ndim > 1 and "embed" not in n]
    undecayed = [p for n, p in trained if not (p.ndim > 1 and "embed" not in n)]
    groups = [(decayed, config.weight_decay), (undecayed, 0.0)]
    return [
        {"params": parameters, "lr": config.learning_rate, "weight_decay": decay}
        for parameters, decay in groups
        if parameters
    ]
