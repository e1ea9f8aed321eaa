"""Checkpoints of a run: whole or not at all, the newest few kept.

What is trained and its optimiser are gathered whole onto the first process whatever way the run
is spread over devices, so a run may go on with another number of them.
"""

import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch.distributed.checkpoint.state_dict import (
    OptimizerStateType,
    StateDictOptions,
    ValueType,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from sida.errors import CheckpointError
from sida.files import write_folder

__all__ = [
    "ModuleState",
    "RunState",
    "gather",
    "latest",
    "load_state",
    "restore",
    "save_state",
    "unsharded",
    "whole_weights",
]

GATHER_OPTIONS = StateDictOptions(
    full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False
)
RESTORE_OPTIONS = StateDictOptions(full_state_dict=True, broadcast_from_rank0=False, strict=False)


class ModuleState(TypedDict):
    """Trained parameters and optimiser state, in the form of torch's distributed checkpoints."""

    parameters: dict[str, ValueType]
    optimizer: OptimizerStateType


class RunState(ModuleState):
    """All that a run needs to go on as if it had not stopped.

    Attributes:
        step: optimiser steps done.
        average: the averaged weights, None where none are kept.
        scaler: of the loss scaler, None without one.
        random: generators of every process, in their order.
        best: validation figure of the best weights so far.
        stale: validations since.
    """

    step: int
    average: Mapping[str, torch.Tensor] | None
    scaler: Mapping[str, object] | None
    random: Sequence[dict[str, torch.Tensor]]
    best: float
    stale: int


def gather(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> ModuleState:
    """Trained parameters and optimiser state, whole and on the CPU; a collective call."""
    parameters, optimiser = get_state_dict(module, optimizer, options=GATHER_OPTIONS)
    return {"parameters": parameters, "optimizer": optimiser}


def restore(module: torch.nn.Module, optimizer: torch.optim.Optimizer, state: ModuleState) -> None:
    """Restore the state that `gather` returned."""
    set_state_dict(
        module,
        optimizer,
        model_state_dict=state["parameters"],
        optim_state_dict=state["optimizer"],
        options=RESTORE_OPTIONS,
    )
    moments_of = state["optimizer"]["state"]
    for name, trainable in module.named_parameters():
        # torch gives every parameter a state; one without a gradient so far must have none.
        if name.removeprefix("module.") not in moments_of:
            optimizer.state.pop(trainable, None)
    for parameter, moments in optimizer.state.items():
        for name, moment in moments.items():
            # The fused step reads both in the order of memory, which differs under FSDP.
            if moment.shape == parameter.shape and moment.stride() != parameter.stride():
                moments[name] = torch.empty_like(parameter).copy_(moment)


def whole_weights(module: torch.nn.Module, part: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights and buffers of `part`, a module inside `module`, whole and on the CPU.

    A tensor of two names comes once. A collective call; all but the first process may get nothing.
    """
    tensors: dict[str, Any] = get_model_state_dict(
        module, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    module_names = {id(child): name for name, child in module.named_modules()}
    prefix = f"{module_names[id(part)].removeprefix('module.')}."
    names = [name for name, _ in (*part.named_parameters(), *part.named_buffers())]
    return {name: tensors[prefix + name] for name in names if prefix + name in tensors}


@contextmanager
def unsharded(module: torch.nn.Module) -> Iterator[None]:
    """Context in which parts of a model may be called without `module.forward`.

    Under FSDP2 all of it is gathered until the end: inference reads layers in its own way.
    """
    sharded = [part for part in module.modules() if isinstance(part, FSDPModule)]
    for part in sharded:
        part.unshard()
    try:
        yield
    finally:
        for part in sharded:
            part.reshard()


def save_state(out: Path, step: int, state: RunState, keep: int) -> None:
    """Write `checkpoints/step-N/` and drop all but the newest `keep`."""
    folder = out / "checkpoints" / f"step-{step}"
    with write_folder(folder) as temporary:
        torch.save(dict(state), temporary / "state.pt")
    # Only now: a kill while the new one is written must leave the one before.
    for old in _checkpoints(out)[:-keep]:
        shutil.rmtree(old)


def latest(out: Path) -> Path | None:
    """The newest checkpoint of a run, if there is one."""
    folders = _checkpoints(out)
    return folders[-1] if folders else None


def load_state(folder: Path) -> RunState:
    """Read the file of `save_state`; tensors and plain values only.

    Raises:
        CheckpointError: the file cannot be read.
    """
    path = folder / "state.pt"
    try:
        state: RunState = torch.load(path, weights_only=True, map_location="cpu")
    except (
        *(OSError, RuntimeError, ValueError, KeyError, EOFError),
        pickle.UnpicklingError,
    ) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): delete {folder}, and the run resumes from the "
            "previous checkpoint."
        ) from error
    return state


def _checkpoints(out: Path) -> list[Path]:
    folders = (out / "checkpoints").glob("step-*")
    return sorted((f for f in folders if f.name[5:].isdigit()), key=lambda f: int(f.name[5:]))
