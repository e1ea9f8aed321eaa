"""What AdamW gets: which parameters decay, and the learning rate of each step."""

import math
from typing import Any

import torch

from sida.train.config import TrainConfig

__all__ = ["parameter_groups", "rate_factor"]


def rate_factor(config: TrainConfig, step: int) -> float:
    """Share of the highest learning rate at a step, counted from 0."""
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    left = 1 - (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    left = min(max(left, 0.0), 1.0)
    return left if config.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))


def parameter_groups(module: torch.nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Decay for matrices and kernels; none for norms, biases and embeddings."""
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    decayed = [p for n, p in trained if p.ndim > 1 and "embed" not in n]
    others = [p for n, p in trained if not (p.ndim > 1 and "embed" not in n)]
    groups = [(decayed, config.weight_decay), (others, 0.0)]
    return [
        {"params": parameters, "lr": config.learning_rate, "weight_decay": decay}
        for parameters, decay in groups
        if parameters
    ]
