"""Ray: reaching a cluster or starting one here, and the room that it has for workers."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from sida.errors import ConfigError, InputError, SidaError, optional_package

__all__ = ["cluster", "require_answer", "require_ray", "resources", "stopped"]

ANSWERS_WITHIN = 5.0
"""Seconds."""


def require_ray() -> ModuleType:
    """The module `ray`. Raises MissingExtra."""
    with optional_package("ray", "ray", "The engine ray"):
        import ray
    module: ModuleType = ray
    return module


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[ModuleType]:
    """Connect the module `ray`; a connection that is there already stays.

    Args:
        address: HOST:PORT of a cluster, or `auto` for the one that runs on this machine; without
            it one is started here and ended afterwards.
        workers: their number, where it is given.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: nobody answers.
        SidaError: none could be started here.
    """
    ray = require_ray()
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what ends a run is raised, too
    try:
        if address is None:
            cores = max(workers or 0, os.cpu_count() or 1)
            ray.init("local", num_cpus=cores, include_dashboard=False, **_QUIET)
        else:
            ray.init(address, **_QUIET)
    # Where Ray does not come up in time on a busy machine it raises a bare Exception.
    except Exception as error:
        if address is None:
            raise SidaError(
                f"Ray did not start on this machine ({str(error).split('. ')[0].rstrip('.')}): run "
                "the same command again when the machine is less busy"
            ) from error
        if not isinstance(error, ConnectionError | RuntimeError):
            raise
        if address == "auto":
            raise _no_answer(address) from error
        raise InputError(
            f"the server at {address!r} refused the connection: it is not Ray, it runs another "
            "version, or it requires a token (RAY_AUTH_MODE=token sends it)"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


_QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}


def require_answer(address: str) -> None:
    """Raise InputError where nobody answers; Ray itself tries for minutes, and ends the process."""
    if address == "auto":
        return
    match = re.fullmatch(r"(?:ray://)?(.+):(\d{1,5})", address)
    if match is None:
        raise ConfigError(f"the address is {address!r}, expected HOST:PORT or auto")
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address) from error


def _no_answer(address: str) -> InputError:
    return InputError(
        f"no Ray answers at {address!r}: start it with `ray start --head`, or leave --address out "
        "for one on this machine"
    )


def resources(ray: ModuleType, device: str) -> tuple[int, dict[str, float]]:
    """The number of workers that a cluster has room for, and what Ray reserves for each.

    One for each GPU where there are some and the device may be one, else one for each core.
    """
    available = ray.cluster_resources()
    if device != "cpu" and (gpus := int(available.get("GPU", 0))):
        return gpus, {"num_cpus": 1, "num_gpus": 1}
    return max(1, int(available.get("CPU", 1))), {"num_cpus": 1}


def stopped(error: Exception) -> SidaError:
    """An error of ours for one of Ray's: the last line of its text, which the worker raised."""
    last = next((line for line in str(error).splitlines()[::-1] if line.strip()), "")
    return SidaError(f"the workers stopped ({last.strip()}): run the same command to resume")
