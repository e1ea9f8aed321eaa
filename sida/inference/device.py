"""Device and dtype that a model runs on."""

import re

import torch

from sida.errors import DeviceError
from sida.model import Sida
from sida.model.clip_windows import ClipWindows

__all__ = ["multiplies_bfloat16", "out_of_memory", "resolve", "use_native_bfloat16"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_LACK = re.compile(
    r"out of memory"  # "CUDA out of memory", "CUDA error: out of memory", HIP and MPS alike
    r"|CU\w*_STATUS_ALLOC_FAILED"  # cuBLAS, cuDNN ("cuDNN error: CUDNN_STATUS_…"), cuSOLVER
    r"|can't allocate memory|DefaultCPUAllocator|bad_alloc"
)


def resolve(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of this machine, of their names as users write them.

    `auto` is CUDA where there is one, and float32 on the CPU, bfloat16 elsewhere.

    Raises:
        DeviceError: this machine has no such device, or there is no such dtype.
    """
    target = _device(device)
    if dtype == "auto":
        return target, torch.float32 if target.type == "cpu" else torch.bfloat16
    if dtype not in DTYPES:
        raise DeviceError(f"There is no dtype {dtype!r}: choose auto, {', '.join(DTYPES)}.")
    return target, DTYPES[dtype]


def multiplies_bfloat16() -> bool:
    """True for a processor with instructions for products of bfloat16 matrices."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def use_native_bfloat16(model: Sida, dtype: str) -> None:
    """Hold the frozen encoder of `small` in bfloat16 on a CPU that multiplies it natively.

    It takes half the time, and rounds by less than what the calibration shows. Nothing happens
    where a dtype was named.
    """
    encoder = model.encoder
    automatic = dtype == "auto" and model.device.type == "cpu"
    if automatic and isinstance(encoder, ClipWindows) and multiplies_bfloat16():
        encoder.clip.to(torch.bfloat16)


def _device(name: str) -> torch.device:
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    available = ["auto", "cpu", *(["cuda"] if cuda else []), *(f"cuda:{i}" for i in range(cuda))]
    if name not in available:
        raise DeviceError(
            f"There is no device {name!r} on this machine: choose {', '.join(available)}."
        )
    return torch.device(name)


def out_of_memory(error: BaseException) -> bool:
    """True for an error that means that memory did not suffice, on any device.

    Torch has a type of its own for CUDA's allocator alone; what its CPU allocator and the
    libraries below say can be told from other errors of a pass by the words only.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _LACK.search(str(error)) is not None
