"""Smaller weights of the language model's layers, through torchao; all else stays as it is."""

from typing import Any

import torch
from torch import nn

from sida.errors import ConfigError, DeviceError
from sida.model.sida import Sida

__all__ = ["QUANTIZATIONS", "check", "possible", "quantize"]

QUANTIZATIONS = ("int8", "int4", "fp8")
FP8 = (8, 9)
"""Compute capability from which a CUDA device multiplies in fp8."""
GROUPS = (128, 64, 32)
"""Weights that share a scale in int4: the largest that divides all widths."""


def possible(device: torch.device, dtype: torch.dtype) -> list[str]:
    """Quantizations that run on a device in a dtype."""
    if device.type != "cuda":
        return ["int8"] if device.type == "cpu" else []
    names = ["int8"]
    if dtype == torch.bfloat16:
        names += ["int4"]
    if dtype == torch.bfloat16 and torch.cuda.get_device_capability(device) >= FP8:
        names += ["fp8"]
    return names


def check(name: str, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a quantization that is not possible here, before weights are read.

    Raises:
        ConfigError: there is no such quantization, or torchao is not installed.
        DeviceError: it does not run on this device in this dtype.
    """
    if name not in QUANTIZATIONS:
        raise _unknown(name)
    if name not in (available := possible(device, dtype)):
        offered = ", ".join(available) or "none, leave it out"
        raise DeviceError(
            f"Quantization {name} does not run on {device} in {str(dtype).removeprefix('torch.')}: "
            f"possible here: {offered}."
        )
    _torchao()


def quantize(model: Sida, name: str, device: torch.device) -> None:
    """Quantize a model that lies on the CPU, and move it to a device, one layer after another.

    No more than the quantized model and one layer of the original is on the device at any time.

    Args:
        name: one that `check` has let pass.

    Raises:
        ConfigError: there is no such quantization, or none of this network.
    """
    for layer in model.language.layers:
        _torchao().quantize_(layer, _config(name, layer), device=device)
        layer.to(device)
    model.to(device)


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"There is no quantization {name!r}: choose {', '.join(QUANTIZATIONS)}.")


def _config(name: str, layer: nn.Module) -> Any:
    ao = _torchao()
    if name == "int8":
        return ao.Int8WeightOnlyConfig()
    if name == "fp8":
        return ao.Float8DynamicActivationFloat8WeightConfig()
    if name == "int4":
        group_size = _group_size(layer)
        return ao.Int4WeightOnlyConfig(
            group_size=group_size, int4_packing_format="tile_packed_to_4d"
        )
    raise _unknown(name)


def _group_size(layer: nn.Module) -> int:
    """The largest of `GROUPS` that divides all widths of a layer."""
    widths = [module.in_features for module in layer.modules() if isinstance(module, nn.Linear)]
    group_size = next((g for g in GROUPS if all(width % g == 0 for width in widths)), None)
    if group_size is None:
        raise ConfigError(
            f"int4 needs widths that are multiples of {GROUPS[-1]}, found {sorted(set(widths))}: "
            "choose int8."
        )
    return group_size


def _torchao() -> Any:
    try:
        import torchao.quantization
    except ImportError as error:
        raise ConfigError(
            f"Quantization needs torchao, which cannot be imported ({error}): "
            "pip install 'sida[quantize]'."
        ) from error
    return torchao.quantization
