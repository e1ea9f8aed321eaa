"""How a run lies on devices: accelerate's settings, shares of a batch, random states."""

from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType
from accelerate.state import AcceleratorState
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

from sida.errors import ConfigError
from sida.inference.device import resolve
from sida.train.config import TrainConfig
from sida.train.loader import Batch

__all__ = [
    "accelerator_of",
    "micro_batches_per_device",
    "random_state",
    "set_random_state",
    "to_device",
]


def accelerator_of(config: TrainConfig, out: Path) -> Accelerator:
    """The accelerator that spreads the run over devices, as its launcher says.

    Raises:
        ConfigError: it was launched in a way that the run is not for, or a tracker is missing.
        DeviceError: this machine has no such device.
    """
    resolve(config.device, "float32")
    _check_trackers(config.trackers)
    # To accelerate, precision is a setting of the process; ours is one of the run.
    AcceleratorState._reset_state()
    precision = "no" if config.precision == "fp32" else config.precision
    accelerator = Accelerator(
        mixed_precision=precision,
        cpu=config.device == "cpu" or not torch.cuda.is_available(),
        log_with=list(config.trackers) or None,
        project_dir=out,
        # A micro-batch without a mask does not use the mask decoder.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    _require_supported(config, accelerator.distributed_type)
    return accelerator


def _check_trackers(names: tuple[str, ...]) -> None:
    """Raise ConfigError where accelerate has no such tracker, or its package is missing."""
    supported = sorted(str(t.value) for t in LoggerType if t != LoggerType.ALL)
    installed = {str(tracker) for tracker in get_available_trackers()}
    for name in names:
        if name not in supported:
            raise ConfigError(f"trackers: there is no {name!r}; they are {', '.join(supported)}.")
        if name not in installed:
            raise ConfigError(
                f"trackers: {name} is not installed: pip install it, or leave it out of trackers."
            )


def _require_supported(config: TrainConfig, distributed_type: DistributedType) -> None:
    """Raise ConfigError where a model is spread over devices in a way that the run is not for."""
    if distributed_type == DistributedType.DEEPSPEED:
        raise ConfigError(
            "DeepSpeed is not supported: choose FSDP with fsdp_version 2, which also spreads "
            "weights, gradients and optimiser over the devices."
        )
    if distributed_type != DistributedType.FSDP:
        return
    for name in ("cache", "average"):
        if getattr(config, name):
            raise ConfigError(
                f"{name} needs the whole model on every device, and FSDP spreads it: leave out "
                f"{name}, or run without FSDP."
            )


def micro_batches_per_device(config: TrainConfig, devices: int) -> int:
    """Number of micro-batches that each of the devices takes in a step.

    Raises:
        ConfigError: a batch cannot be shared equally.
    """
    share, remainder = divmod(config.batch_size, devices)
    size = config.micro_batch_size or share
    if remainder or not share or share % size:
        option = "" if config.micro_batch_size is None else " (micro_batch_size)"
        raise ConfigError(
            f"batch_size {config.batch_size} cannot be cut into micro-batches of "
            f"{size or 1}{option} on {devices} devices: choose a multiple of "
            f"{devices * (size or 1)}."
        )
    return share // size


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A micro-batch on the device of the network."""
    # The loader pins its memory, so that these copies overlap with what the device still computes.
    tensors = (tensor.to(device, non_blocking=True) for tensor in batch[1:-1])
    return Batch._make((batch.inputs.to(device), *tensors, batch.keys))


def random_state() -> dict[str, torch.Tensor]:
    """State of this process's generators that dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, torch.Tensor]) -> None:
    """Restore the state that `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
