"""Low-rank additions to the language model, and the plain weights that they merge into."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from sida.errors import ConfigError, optional_package
from sida.model import Sida
from sida.train.config import Lora

__all__ = ["add_lora", "merge"]

ADAPTER_NAME = "default"


def add_lora(model: Sida, lora: Lora, dtype: torch.dtype = torch.float32) -> None:
    """Put additions beside the linear layers of the language model that end in `lora.targets`.

    Args:
        dtype: of the arithmetic, where its frozen layers are held in four bits.

    Raises:
        ConfigError: a target ends no layer's name.
        MissingExtra: bitsandbytes is not installed, and four bits are asked for.
    """
    if lora.base == "nf4":
        _round_to_four_bits(model.language, dtype)
        model.is_loaded_in_4bit = True  # by which peft chooses layers that add to four bits
    _require_targets(model.language, lora.targets)
    targets = "|".join(map(re.escape, lora.targets))
    inject_adapter_in_model(
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=rf"language\..*\.({targets})",
        ),
        model,
        ADAPTER_NAME,
    )


def _require_targets(language: nn.Module, targets: Sequence[str]) -> None:
    """Raise ConfigError for a target that ends no linear layer's name."""
    linear = [n for n, module in language.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(name.endswith(f".{target}") for name in linear):
            ends = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            raise ConfigError(f"lora.targets: no layer ends in {target!r}; they end in {ends}.")


def _round_to_four_bits(language: nn.Module, dtype: torch.dtype) -> None:
    """Replace all linear layers by NF4 ones."""
    with optional_package("bitsandbytes", "qlora", "lora.base=nf4"):
        from bitsandbytes.nn import Linear4bit
    for name, module in list(language.named_modules()):
        if type(module) is not nn.Linear:
            continue
        rounded = Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=dtype,
            quant_type="nf4",
        )
        rounded.load_state_dict(module.state_dict())
        # bitsandbytes rounds when a layer is moved to a device, the one it is on included.
        rounded.to(module.weight.device)
        language.set_submodule(name, rounded)


def merge(
    model: Sida, weights: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """The model's weights under their own names, W + (alpha / r) B A where there is an addition.

    Args:
        weights: of the model, where it holds only a part of them itself.
    """
    weights = model.state_dict() if weights is None else weights
    plain = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in weights.items()
        if ".lora_" not in name and ".weight." not in name  # scales and blocks of four bits
    }
    # Reversed, base layers come before the layers around them, which add to their weights.
    for name, module in reversed(list(model.named_modules())):
        layer = module.get_base_layer() if isinstance(module, LoraLayer) else module
        if hasattr(getattr(layer, "weight", None), "quant_state"):
            plain[name.removesuffix(".base_layer") + ".weight"] = _dequantize(layer)
        if isinstance(module, LoraLayer):
            weight = plain[f"{name}.weight"]
            down, up = (
                weights[f"{name}.lora_{side}.{ADAPTER_NAME}.weight"].float() for side in "AB"
            )
            # The product in float32, rounded once: in bfloat16 small additions would be lost.
            addition = module.scaling[ADAPTER_NAME] * up @ down
            plain[f"{name}.weight"] = (weight.float() + addition).to(weight.dtype)
    return plain


def _dequantize(layer: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    values: torch.Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return values
