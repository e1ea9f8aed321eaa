"""`serve`: the app of `sida serve` on Ray Serve, with replicas of the model.

`app` is the same for a file that `serve deploy` takes, which names `sida.scale.serving:app`.
"""

import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sida.detector import Detector
from sida.errors import ConfigError, InputError, SidaError, optional_package
from sida.scale.cluster import cluster, require_answer, require_ray, resources
from sida.scale.weights import locate, worker_detector
from sida.serve import ServeSettings, bind
from sida.settings import read_settings

__all__ = ["Plan", "app", "read_plan", "serve"]

log = logging.getLogger(__name__)

NAME = "sida"
"""Of the application."""


def app(args: ServeSettings) -> Any:
    """The application, for `serve deploy`, `serve run` and KubeRay.

    Where it is built the model's digest is taken; replicas with other weights do not start.
    """
    _require_serve()
    ray = require_ray()
    needs = resources(ray, args.device)[1] if ray.is_initialized() else {"num_cpus": 1}
    return _application(args, {"Model": {"ray_actor_options": needs}})


def _loading(settings: ServeSettings) -> Callable[[], Detector]:
    """How a replica loads the model whose digest this machine has. Raises SidaError."""
    return partial(worker_detector, locate(settings.model_options()))


def _application(
    settings: ServeSettings,
    changes: Mapping[str, Mapping[str, object]],
    tries: int = 20,
    loading: Callable[[], Detector] | None = None,
) -> Any:
    """Both deployments, with changes by their names; `tries` to start a replica."""
    serve = _require_serve()
    from sida.scale.replicas import Front, ModelReplica

    loading = loading or _loading(settings)
    model = serve.deployment(
        ModelReplica,
        name="Model",
        num_replicas=1,
        max_ongoing_requests=32,
        max_constructor_retry_count=tries,
        graceful_shutdown_timeout_s=settings.time_limit,
    )
    front = serve.deployment(
        serve.ingress()(Front),
        num_replicas=1,
        max_ongoing_requests=100_000,  # it refuses by itself what is too much
        max_constructor_retry_count=tries,
        graceful_shutdown_timeout_s=settings.time_limit,
        ray_actor_options={"num_cpus": 0},
    )
    try:
        model = model.options(**changes.get("Model", {}))
        front = front.options(**changes.get("Front", {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the options of a deployment do not fit: {error}") from error
    return front.bind(model.bind(loading, settings.max_wait), settings)


def _require_serve() -> Any:
    with optional_package("ray", "ray", "The engine ray"):
        from ray import serve
    return serve


@dataclass(frozen=True)
class Plan:
    """What `serve` starts.

    Attributes:
        host, port: where to listen; without a cluster's address port 0 takes a free one.
        name: of the application.
        changes: options of the deployments, by their names `Model` and `Front`.
    """

    settings: ServeSettings
    host: str = "127.0.0.1"
    port: int = 8000
    name: str = NAME
    changes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


class _Http(BaseModel):
    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000


class _Change(BaseModel):
    """Options of a deployment, which Ray Serve checks."""

    model_config = ConfigDict(extra="allow")

    name: Literal["Model", "Front"]

    @model_validator(mode="after")
    def _one_front(self) -> Self:
        options = self.model_extra or {}
        if self.name == "Front" and (
            options.get("num_replicas", 1) != 1 or "autoscaling_config" in options
        ):
            raise ValueError(
                "slots, keys, batches and metrics are in the memory of the one Front: give "
                "replicas to Model"
            )
        return self


class _Application(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1)] = NAME
    route_prefix: Literal["/"] = "/"
    import_path: Literal["sida.scale.serving:app"]
    args: ServeSettings = ServeSettings()
    deployments: list[_Change] = []

    @model_validator(mode="after")
    def _check_unique(self) -> Self:
        names = [change.name for change in self.deployments]
        if len(set(names)) < len(names):
            raise ValueError("a deployment is there twice: put its options into one entry")
        return self


class _File(BaseModel):
    """A file for `serve deploy`; keys that we do not read are refused."""

    model_config = ConfigDict(extra="forbid")

    http_options: _Http = _Http()
    applications: Annotated[list[_Application], Field(min_length=1, max_length=1)]


def read_plan(path: str | Path) -> Plan:
    """The plan in a file that `serve deploy` takes. Raises ConfigError where it holds more."""
    if not Path(path).is_file():
        raise ConfigError(f"there is no file {str(path)!r}: write one as docs/scale.md says")
    file = read_settings(_File, path)
    (application,) = file.applications
    changes: dict[str, Any] = {
        change.name: change.model_extra or {} for change in application.deployments
    }
    http = file.http_options
    return Plan(application.args, http.host, http.port, application.name, changes)


def serve(
    plan: Plan,
    ready: Callable[[str, str], None],
    *,
    address: str | None = None,
    replicas: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted, and return.

    Args:
        ready: called with the name of the model and the address of the service.
        address: as of `sida.scale.detect`.
        replicas: of the model; without it, and without `plan.changes`, one a graphics card, or one
            a core where there is none.

    Raises:
        MissingExtra: Ray Serve is not installed.
        ConfigError: Ray Serve runs there already, or has less room than replicas need; an option
            is impossible.
        InputError: no cluster at the address; the port is taken.
        CheckpointError, DownloadError: the model cannot be had.
        SidaError: replicas cannot load it; Ray Serve does not start, or stops.
        KeyboardInterrupt: it was SIGINT.
    """
    ray = require_ray()
    _require_serve()
    if address := address or os.environ.get("RAY_ADDRESS"):
        require_answer(address)
    host, port = plan.host, plan.port
    if address is None:
        with bind(host, port) as bound:
            port = bound.getsockname()[1]
    elif port == 0:
        raise ConfigError("the port of a cluster is 0, expected one that clients can know")
    loading = _loading(plan.settings)  # before Ray, which takes seconds to start
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    is_own = address is None and not ray.is_initialized()
    with cluster(address, replicas or _fewest(plan.changes.get("Model", {}))):
        changes = _as_there_is_room(ray, plan, replicas)
        target = _application(plan.settings, changes, tries=1, loading=loading)
        with _started(target, plan.name, host, port, is_own) as front, _signals() as received:
            shown_host = f"[{host}]" if ":" in host else host
            ready(_answer_of(front.about).name, f"http://{shown_host}:{port}")
            number = received.get()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second does not wait
            _answer_of(front.finish)
            if number == signal.SIGINT:
                raise KeyboardInterrupt


def _fewest(change: Mapping[str, Any]) -> int | None:
    """The replicas that a file asks for at least; None where it leaves that to us."""
    scaling = change.get("autoscaling_config")
    if isinstance(scaling, Mapping):
        return max(int(scaling.get(key, 1)) for key in ("min_replicas", "initial_replicas"))
    number = change.get("num_replicas")
    return number if isinstance(number, int) else None


def _as_there_is_room(ray: Any, plan: Plan, replicas: int | None) -> dict[str, Mapping[str, Any]]:
    """Options of the deployments. Raises ConfigError where replicas would be waited for in vain."""
    change: dict[str, Any] = dict(plan.changes.get("Model", {}))
    room, needs = resources(ray, plan.settings.device)
    change.setdefault("ray_actor_options", needs)
    count = replicas or _fewest(change) or (None if "autoscaling_config" in change else room)
    if not plan.changes:
        change["num_replicas"] = count
    room = _room_for(ray.cluster_resources(), change["ray_actor_options"])
    if (count or 1) > room:
        raise ConfigError(
            f"the cluster has room for {room} replicas, and {count or 1} were asked for: ask for "
            "fewer, or reserve less for each"
        )
    return {**plan.changes, "Model": change}


def _room_for(has: Mapping[str, float], needs: Mapping[str, Any]) -> int:
    """The number of replicas with such needs that a cluster has room for, others aside."""
    amounts = {"CPU": needs.get("num_cpus", 1), "GPU": needs.get("num_gpus", 0)}
    amounts |= dict(needs.get("resources") or {})
    counts = [int(has.get(key, 0) // need) for key, need in amounts.items() if need]
    return min(counts, default=1_000_000)


def _answer_of(method: Any) -> Any:
    """The answer of a method of the front. Raises SidaError where it, or Ray, has stopped."""
    try:
        return method.remote().result()
    except SidaError:
        raise
    except Exception as error:  # of many kinds, most of them Ray's own
        raise SidaError(f"the service stopped: {_sentence(str(error))}") from error


@contextmanager
def _started(target: Any, name: str, host: str, port: int, is_own: bool) -> Iterator[Any]:
    """The handle of the front while the application runs.

    Raises ConfigError, InputError where the port is taken, SidaError.

    Args:
        own: the cluster ends afterwards anyway.
    """
    serve = _require_serve()
    if serve.status().proxies:
        raise ConfigError(
            "Ray Serve runs on this cluster already: `serve deploy` adds an application to it, "
            "`serve shutdown` ends it"
        )
    try:
        yield _running(serve, target, name, host, port)
    finally:
        if not is_own:
            serve.shutdown()


def _running(serve: Any, target: Any, name: str, host: str, port: int) -> Any:
    try:
        serve.start(http_options={"host": host, "port": port})
        serve.run_many([serve.RunTarget(target, name=name)], wait_for_applications_running=False)
        logged = ""
        while (status := serve.status().applications[name]).status != "RUNNING":
            messages = [
                deployment.message
                for deployment in status.deployments.values()
                if deployment.message
            ]
            message = (messages or [status.message])[0]
            if status.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                raise SidaError(f"the replicas cannot start: {_sentence(message)}")
            if message != logged:
                logged = message
                log.info("%s", " ".join(logged.split()))  # mostly what is waited for
            time.sleep(0.2)
        return serve.get_app_handle(name)
    except SidaError:
        raise
    except Exception as error:  # of many kinds, most of them Ray's own
        text = str(error)
        if re.search(r"address already in use|failed to (bind|listen)|Errno 98", text, re.I):
            raise InputError(
                f"port {port} of {host} is taken on the cluster: give another --port"
            ) from error
        raise SidaError(f"Ray Serve does not start: {_sentence(text)}") from error


def _sentence(message: str) -> str:
    """The last line of a text of Ray's, which the replica raised."""
    last = next((line for line in message.splitlines()[::-1] if line.strip()), "nothing said")
    return re.sub(r"^sida\.errors\.\w+: ", "", last.strip())


@contextmanager
def _signals() -> Iterator["SimpleQueue[int]"]:
    """SIGTERM and SIGINT as they come; afterwards they do what they did before."""
    received: SimpleQueue[int] = SimpleQueue()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda number, _: received.put(number)) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
