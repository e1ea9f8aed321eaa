"""Low-rank additions to the language model, and the plain weights that they come to."""

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer

from sida.model import Sida
from sida.train.config import Lora

__all__ = ["add_lora", "merged"]

NAME = "default"


def add_lora(model: Sida, lora: Lora) -> None:
    """Put additions beside the linear layers of the language model that end in `lora.targets`."""
    targets = "|".join(lora.targets)
    inject_adapter_in_model(
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=rf"language\..*\.({targets})",
        ),
        model,
        NAME,
    )


def merged(model: Sida) -> dict[str, torch.Tensor]:
    """The model's weights under their own names, W + (alpha / r) B A where there is an addition."""
    weights = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" not in name
    }
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            weight = weights[f"{name}.weight"]
            down, up = module.lora_A[NAME].weight, module.lora_B[NAME].weight
            addition = module.scaling[NAME] * up.float() @ down.float()
            weights[f"{name}.weight"] = (weight.float() + addition).to(weight.dtype)
    return weights
