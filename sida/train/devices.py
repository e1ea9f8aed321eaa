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

__all__ = ["accelerator_of", "own_micro_batches", "random_state", "set_random_state", "to_device"]


def accelerator_of(config: TrainConfig, out: Path) -> Accelerator:
    """What spreads the run, as its launcher says.

    Raises:
        ConfigError: it was launched in a way that the run is not for, or a tracker is missing.
        DeviceError: this machine has no such device.
    """
    resolve(config.device, "float32")
    _check_trackers(config.trackers)
    # Precision is a setting of the process to accelerate, and ours is one of the run.
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
    _refuse(config, accelerator.distributed_type)
    return accelerator


def _check_trackers(names: tuple[str, ...]) -> None:
    """Raise ConfigError where accelerate has no such tracker, or its package is missing."""
    known = sorted(str(each.value) for each in LoggerType if each != LoggerType.ALL)
    present = {str(each) for each in get_available_trackers()}
    for name in names:
        if name not in known:
            raise ConfigError(f"trackers: there is no {name!r}; they are {', '.join(known)}.")
        if name not in present:
            raise ConfigError(
                f"trackers: {name} is not installed: pip install it, or leave it out of trackers."
            )


def _refuse(config: TrainConfig, kind: DistributedType) -> None:
    """Raise ConfigError where a model is spread over devices in a way that the run is not for."""
    if kind == DistributedType.DEEPSPEED:
        raise ConfigError(
            "DeepSpeed is not supported: choose FSDP with fsdp_version 2, which also spreads "
            "weights, gradients and optimiser over the devices."
        )
    if kind != DistributedType.FSDP:
        return
    for name in ("cache", "average"):
        if getattr(config, name):
            raise ConfigError(
                f"{name} needs the whole model on every device, and FSDP spreads it: leave out "
                f"{name}, or run without FSDP."
            )


def own_micro_batches(config: TrainConfig, devices: int) -> int:
    """How many micro-batches each of the devices takes in a step.

    Raises:
        ConfigError: a batch cannot be shared equally.
    """
    share, rest = divmod(config.batch_size, devices)
    micro = config.micro_batch_size or share
    if rest or not share or share % micro:
        told = "" if config.micro_batch_size is None else " (micro_batch_size)"
        raise ConfigError(
            f"batch_size {config.batch_size} cannot be cut into micro-batches of "
            f"{micro or 1}{told} on {devices} devices: choose a multiple of "
            f"{devices * (micro or 1)}."
        )
    return share // micro


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A micro-batch where the network is."""
    tensors = (tensor.to(device, non_blocking=True) for tensor in batch[1:-1])
    return Batch._make((batch.inputs.to(device), *tensors, batch.keys))


def random_state() -> dict[str, torch.Tensor]:
    """State of this process's generators that dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, torch.Tensor]) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
