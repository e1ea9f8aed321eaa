"""Smaller weights of the language model's layers, through torchao; all else stays as it is."""

from typing import Any

import torch
from torch import nn

from sida.errors import ConfigError, DeviceError
from sida.model.sida import Sida

__all__ = ["KINDS", "check", "possible", "quantize"]

KINDS = ("int8", "int4", "fp8")
FP8 = (8, 9)
"""Compute capability from which a CUDA device multiplies in fp8."""
GROUPS = (128, 64, 32)
"""Weights that share a scale in int4: the largest that divides all widths."""


def possible(device: torch.device, dtype: torch.dtype) -> list[str]:
    """The kinds that run on a device in a number type."""
    if device.type != "cuda":
        return ["int8"] if device.type == "cpu" else []
    kinds = ["int8"]
    if dtype == torch.bfloat16:
        kinds += ["int4"]
    if dtype == torch.bfloat16 and torch.cuda.get_device_capability(device) >= FP8:
        kinds += ["fp8"]
    return kinds


def check(kind: str, device: torch.device, dtype: torch.dtype) -> None:
    """See that a kind can be had here, before weights are read.

    Raises:
        ConfigError: there is no such kind, or torchao is not installed.
        DeviceError: it does not run on this device in this number type.
    """
    if kind not in KINDS:
        raise ConfigError(f"There is no quantisation {kind!r}: choose {', '.join(KINDS)}.")
    if kind not in (here := possible(device, dtype)):
        name = str(dtype).removeprefix("torch.")
        offered = ", ".join(here) or "none, leave it out"
        raise DeviceError(
            f"Quantisation {kind} does not run on {device} in {name}: possible here: {offered}."
        )
    _torchao()


def quantize(model: Sida, kind: str, device: torch.device) -> None:
    """Quantise a model that lies on the CPU, and move it to a device, one layer after another.

    No more than the quantised model and one layer of the original is on the device at any time.

    Args:
        kind: one that `check` has let pass.
    """
    for layer in model.language.layers:
        _torchao().quantize_(layer, _config(kind, layer), device=device)
        layer.to(device)
    model.to(device)


def _config(kind: str, layer: nn.Module) -> Any:
    ao = _torchao()
    if kind == "int8":
        return ao.Int8WeightOnlyConfig()
    if kind == "fp8":
        return ao.Float8DynamicActivationFloat8WeightConfig()
    widths = [module.in_features for module in layer.modules() if isinstance(module, nn.Linear)]
    group = next((g for g in GROUPS if all(width % g == 0 for width in widths)), None)
    if group is None:
        raise ConfigError(
            f"int4 needs widths that are multiples of {GROUPS[-1]}, found {sorted(set(widths))}: "
            "choose int8."
        )
    return ao.Int4WeightOnlyConfig(group_size=group, int4_packing_format="tile_packed_to_4d")


def _torchao() -> Any:
    try:
        import torchao.quantization
    except ImportError as error:
        raise ConfigError(
            f"Quantisation needs torchao, which cannot be imported ({error}): "
            "pip install 'sida[quantize]'."
        ) from error
    return torchao.quantization
