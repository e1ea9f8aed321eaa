"""Ray: reaching a cluster or starting one here, and running a worker class over many rows."""

import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sida.errors import ConfigError, InputError, SidaError, optional_package

__all__ = ["cluster", "places_for", "require_answer", "require_ray", "run", "stopped"]

ANSWERS_WITHIN = 5.0
"""Seconds."""


def require_ray() -> Any:
    """The module `ray`. Raises MissingExtra."""
    with optional_package("ray", "ray", "The engine ray"):
        import ray
        import ray.data
    return ray


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[Any]:
    """The module `ray`, connected; what was connected before stays so.

    Args:
        address: HOST:PORT of a cluster, or `auto` for the one that runs on this machine; without
            it one is started here and ended afterwards.
        workers: how many there will be.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: nobody answers.
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
    except (ConnectionError, RuntimeError) as error:
        if address in (None, "auto"):
            raise _nobody(address or "this machine") from error
        raise InputError(
            f"what answers at {address!r} does not let this in: it is no Ray, one of another "
            "version, or one that asks for a token (RAY_AUTH_MODE=token gives it)"
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
    found = re.fullmatch(r"(?:ray://)?(.+):(\d{1,5})", address)
    if found is None:
        raise ConfigError(f"the address is {address!r}, expected HOST:PORT or auto")
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise _nobody(address) from error


def _nobody(address: str) -> InputError:
    return InputError(
        f"no Ray answers at {address!r}: start it with `ray start --head`, or leave --address out "
        "for one on this machine"
    )


def places_for(ray: Any, device: str) -> tuple[int, dict[str, float]]:
    """How many workers a cluster has room for, and what Ray shall keep for each.

    One a graphics card where there are some and the device may be one, else one a core.
    """
    has = ray.cluster_resources()
    if device != "cpu" and (cards := int(has.get("GPU", 0))):
        return cards, {"num_cpus": 1, "num_gpus": 1}
    return max(1, int(has.get("CPU", 1))), {"num_cpus": 1}


def run(
    ray: Any,
    worker: type,
    job: object,
    rows: Sequence[Mapping[str, int]],
    count: int,
    needs: Mapping[str, float],
) -> Iterator[dict[str, Any]]:
    """What `count` workers make of rows, in the order in which they are done.

    A worker is made with the job, and called with a batch of one row. A worker that dies is
    replaced, and its row given out again. Ray hands out no more than what workers can take.

    Raises:
        SidaError: a worker raised something, or could not be made.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray warns of its own settings
        _be_quiet(ray)
        data = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map_batches(
            worker,
            fn_constructor_args=(job,),
            compute=ray.data.ActorPoolStrategy(size=min(count, len(rows))),
            batch_size=1,
            **needs,
        )
        try:
            yield from data.iter_rows()
        except ray.exceptions.RayError as error:
            raise stopped(error) from error


def stopped(error: Exception) -> SidaError:
    """The last line of what Ray says, which is what the worker raised."""
    last = next((line for line in str(error).splitlines()[::-1] if line.strip()), "")
    return SidaError(f"the workers stopped ({last.strip()}): run the same again to go on")


def _be_quiet(ray: Any) -> None:
    """Neither bars nor reports of Ray Data; what goes wrong is raised anyway."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
