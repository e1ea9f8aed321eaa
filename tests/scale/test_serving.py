"""`sida serve --engine ray`: its files, what it refuses, and one whole service where Ray is."""

import asyncio
import base64
import os
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from sida.cli import app
from sida.detector import Detector, Request
from sida.errors import ConfigError, InputError, SidaError
from sida.scale import serving
from sida.scale.replicas import DEATHS, Replicas
from sida.scale.serving import Plan, read_plan
from sida.serve import ServeSettings, create_app
from sida.serve.backend import ChatTurn
from sida.verdict import Failure, ModelInfo
from tests.provenance import signing
from tests.scale.processes import below
from tests.serve.conftest import picture, sha256

ROOT = Path(__file__).parents[2]
RAY = ROOT / "deploy/ray"
MODEL = ModelInfo(name="far", version="1", digest="0" * 64)


def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((RAY / "rayservice.yaml").read_text())
    return loaded


# Files


def test_the_file_for_serve_deploy_is_one_for_sida_serve_too(tmp_path: Path) -> None:
    inside = tmp_path / "inside.yaml"
    inside.write_text(manifest()["spec"]["serveConfigV2"])
    for file in (RAY / "serve.yaml", inside):
        schema = pytest.importorskip("ray.serve.schema", reason="needs Ray").ServeDeploySchema
        deployed = schema.model_validate(yaml.safe_load(file.read_text()))
        (application,) = deployed.applications
        plan = read_plan(file)
        assert application.import_path == f"{serving.__name__}:{serving.app.__name__}"
        assert plan.settings == ServeSettings(**application.args)
        assert {item.name for item in application.deployments} == set(plan.changes)
        assert plan.port == deployed.http_options.port


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"logging_config": {}}, "logging_config"),
        ({"applications": []}, "applications"),
        ({"http_options": {"port": "a"}}, "http_options"),
        ({"import_path": "other:app"}, "import_path"),
        ({"args": {"modell": "tiny"}}, "modell"),
        ({"args": {"places": 0}}, "places"),
        ({"deployments": [{"name": "Modell"}]}, "deployments"),
        ({"deployments": [{"name": "Front", "num_replicas": 2}]}, "the one Front: give replicas"),
        ({"deployments": 2 * [{"name": "Model"}]}, "a deployment is there twice"),
        ({"args": {"model": "tiny", "random_weights": "tiny"}}, "exclude each other"),
        ({"name": ""}, "name"),
    ],
)
def test_a_file_that_says_something_else_is_refused(
    change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    content: dict[str, Any] = {"applications": [{"import_path": "sida.scale.serving:app"}]}
    where = (
        content
        if {*change} & {"logging_config", "applications", "http_options"}
        else content["applications"]
    )
    (where if isinstance(where, dict) else where[0]).update(change)
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=sentence):
        read_plan(file)


def test_a_deployment_has_no_option_that_ray_does_not_know() -> None:
    pytest.importorskip("ray.serve", reason="needs Ray: pip install 'sida[ray]'")
    with pytest.raises(ConfigError, match=r"options of a deployment do not fit: .*num_replica\b"):
        serving._application(ServeSettings(), {"Model": {"num_replica": 2}})


def test_pods_of_the_manifest_are_to_the_schema_of_kubernetes() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    cluster = manifest()["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, **group["template"]}
        kubernetes.validate(pod, kubernetes.latest_version(), strict=True)
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
    pod["spec"]["containers"][0]["imagePullPolicies"] = "Always"
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(pod, kubernetes.latest_version(), strict=True)


def test_the_manifest_has_only_fields_that_kuberay_knows() -> None:
    cases = {
        "serveConfigV2 rayClusterConfig": manifest()["spec"],
        "rayVersion enableInTreeAutoscaling headGroupSpec workerGroupSpecs": manifest()["spec"][
            "rayClusterConfig"
        ],
    }
    cluster = manifest()["spec"]["rayClusterConfig"]
    cases["rayStartParams template"] = cluster["headGroupSpec"]
    (cases["groupName replicas minReplicas maxReplicas rayStartParams template"],) = cluster[
        "workerGroupSpecs"
    ]
    for fields, outcome in cases.items():
        assert set(outcome) == set(fields.split())
    assert (manifest()["apiVersion"], manifest()["kind"]) == ("ray.io/v1", "RayService")
    image = re.search(r"rayproject/ray:([\d.]+)-", (RAY / "Containerfile").read_text())
    assert image is not None
    assert cluster["rayVersion"] == image[1]
    assert f"ray=={image[1]}\n" in (ROOT / "constraints.txt").read_text()


# Refusals


def sida(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["serve", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--replicas", 2), "--replicas needs --engine ray"),
        (("--config", "a.yaml"), "--config needs --engine ray"),
        (
            ("--engine", "ray", "--config", RAY / "serve.yaml", "--max-wait", 1),
            "--max-wait belongs in the file of --config",
        ),
        (("--engine", "ray", "--config", "a.yaml"), "there is no file 'a.yaml'"),
    ],
)
def test_options_that_do_not_go_together(arguments: tuple[object, ...], sentence: str) -> None:
    result = sida(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_without_ray_a_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = sida("--engine", "ray", "--port", 0)
    assert result.exit_code == 2
    assert "pip install 'sida[ray]'" in result.stderr


def test_an_address_nobody_answers_at() -> None:
    pytest.importorskip("ray.serve", reason="needs Ray: pip install 'sida[ray]'")
    result = sida("--engine", "ray", "--address", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "no Ray answers at '127.0.0.1:1'" in result.stderr


def test_options_arrive_by_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(serving, "serve", lambda plan, ready, **where: calls.append((plan, where)))
    keep = ("--keep", tmp_path, "--allow-origin", "https://a", "--allow-origin", "https://b")
    sida("--engine", "ray", "--port", 1, "--places", 3, "--batch-size", 4, "--replicas", 2, *keep)
    origins = ("https://a", "https://b")
    expected = ServeSettings(places=3, batch_size=4, keep=tmp_path, allow_origin=origins)
    assert calls == [(Plan(expected, port=1), {"address": None, "replicas": 2})]


def test_what_ray_says_becomes_a_sentence() -> None:
    said = "The deployment failed.\n  File x\nsida.errors.DeviceError: There is no device 'a'.\n"
    assert serving._sentence(said) == "There is no device 'a'."
    assert serving._sentence("") == "nothing said"


class Room:
    """Stands for Ray, with these resources."""

    def __init__(self, **resources: float) -> None:
        self.resources = resources

    def cluster_resources(self) -> dict[str, float]:
        return self.resources


AUTO = {"autoscaling_config": {"min_replicas": 3, "max_replicas": 9}}


@pytest.mark.parametrize(
    ("resources", "change", "count", "room"),
    [
        ({"CPU": 2}, {}, 3, 2),
        ({"CPU": 2}, {"num_replicas": 3}, None, 2),
        ({"CPU": 8}, {"num_replicas": 3, "ray_actor_options": {"num_cpus": 4}}, None, 2),
        ({"CPU": 8, "GPU": 2}, {"num_replicas": 3}, None, 2),
        ({"CPU": 8}, {"ray_actor_options": {"num_gpus": 1}}, None, 0),
        ({"CPU": 2}, AUTO, None, 2),
        ({"CPU": 9}, {"ray_actor_options": {"resources": {"big": 2}}}, None, 0),
    ],
)
def test_replicas_without_room_are_refused_instead_of_waited_for(
    resources: dict[str, float], change: dict[str, Any], count: int | None, room: int
) -> None:
    plan = Plan(ServeSettings(), changes={"Model": change} if change else {})
    with pytest.raises(ConfigError, match=f"has room for {room} replicas"):
        serving._as_there_is_room(Room(**resources), plan, count)


@pytest.mark.parametrize(
    ("resources", "change", "expected"),
    [
        ({"CPU": 4}, {}, {"num_replicas": 4, "ray_actor_options": {"num_cpus": 1}}),
        ({"CPU": 4}, AUTO, {**AUTO, "ray_actor_options": {"num_cpus": 1}}),
        ({"CPU": 4, "GPU": 2}, {"num_replicas": 2},
         {"num_replicas": 2, "ray_actor_options": {"num_cpus": 1, "num_gpus": 1}}),
        ({"CPU": 4, "GPU": 2}, {"num_replicas": 4, "ray_actor_options": {"num_gpus": 0.5}},
         {"num_replicas": 4, "ray_actor_options": {"num_gpus": 0.5}}),
    ],
)  # fmt: skip
def test_a_file_without_needs_gets_graphics_cards_where_there_are_some(
    resources: dict[str, float], change: dict[str, Any], expected: dict[str, Any]
) -> None:
    plan = Plan(ServeSettings(), changes={"Model": change} if change else {})
    assert serving._as_there_is_room(Room(**resources), plan, None)["Model"] == expected


@pytest.mark.parametrize(
    ("file", "sentence"), [("keys", "there is no file"), ("trust", "cannot be read")]
)
def test_keys_and_trust_are_read_before_ray_starts(
    file: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "require_ray", lambda: types.SimpleNamespace(is_initialized=bool))
    monkeypatch.setattr(serving, "_require_serve", lambda: None)
    monkeypatch.setattr(serving, "cluster", lambda *_: pytest.fail("Ray was started"))
    result = sida("--engine", "ray", "--port", 0, f"--{file}", "absent")
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "'absent'" in result.stderr


def test_trust_of_a_file_reaches_replicas(tmp_path: Path) -> None:
    trust = tmp_path / "trust.pem"
    trust.write_text(signing.trusted())
    application = {
        "import_path": "sida.scale.serving:app",
        "name": "mine",
        "args": {"trust": str(trust)},
    }
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({"applications": [application]}))
    plan = read_plan(file)
    assert plan.name == "mine"
    assert plan.settings.trust == signing.trusted()
    load = serving._loading(plan.settings)
    assert load().options.trust == signing.trusted()


@pytest.mark.parametrize(
    ("said", "kind", "sentence"),
    [
        ("x\nOSError: [Errno 98] Address already in use", InputError, "port 8000 of h is taken"),
        ("Failed to bind to address '0.0.0.0:8000'", InputError, "port 8000 of h is taken"),
        ("a\nRayActorError: it died", SidaError, "does not start: RayActorError: it died"),
    ],
)
def test_what_ray_raises_at_the_start_is_a_sentence(
    said: str, kind: type[Exception], sentence: str
) -> None:
    def start(**_: Any) -> None:
        raise RuntimeError(said)

    with pytest.raises(kind, match=re.escape(sentence)):
        serving._running(types.SimpleNamespace(start=start), None, "sida", "h", 8000)


def test_what_ray_raises_later_is_a_sentence() -> None:
    def remote() -> Any:
        raise RuntimeError("long\nthe front is gone")

    with pytest.raises(SidaError, match=r"^the service stopped: the front is gone$"):
        serving._answer_of(types.SimpleNamespace(remote=remote))


def test_signals_do_afterwards_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with serving._signals() as told:
        os.kill(os.getpid(), signal.SIGTERM)
        assert told.get(timeout=10) == signal.SIGTERM
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


# The front's side of a replica


class Far:
    """Stands for the handle of replicas; `judges` and `says` are what they do."""

    def __init__(self, judges: Any = None, says: Any = None) -> None:
        self.judges, self.says, self.asked = judges, says, 0
        self.cancelled = False

    @property
    def detect(self) -> "Far":
        return self

    chat = detect

    def options(self, stream: bool) -> "Far":
        return self

    def remote(self, *calls: Any) -> "Far":
        self.asked += 1
        return self

    def __await__(self) -> Any:
        return self.judges().__await__()

    def __aiter__(self) -> Any:
        return self.says()

    def cancel(self) -> None:
        self.cancelled = True


def died() -> Exception:
    exceptions = pytest.importorskip("ray.exceptions", reason="needs Ray: pip install 'sida[ray]'")
    error: Exception = exceptions.RayActorError()
    return error


async def ask(far: Far) -> Any:
    return await asyncio.wrap_future(Replicas(far, MODEL, 2).submit(Request(b"")))


def test_a_picture_is_asked_for_again_where_its_replica_died() -> None:
    error = died()
    failure = Failure(error="unreadable_image", message="no picture")

    async def judges() -> Failure:
        if far.asked == 1:
            raise error
        return failure

    far = Far(judges)
    assert asyncio.run(ask(far)) == failure


def test_a_picture_that_replicas_die_of_is_given_up() -> None:
    error = died()

    async def judges() -> Failure:
        raise error

    far = Far(judges)
    result = asyncio.run(ask(far))
    assert far.asked == DEATHS
    assert result.error == "out_of_memory"


def test_what_is_taken_back_is_taken_back_from_the_replica() -> None:
    died()

    async def judges() -> Failure:
        await asyncio.sleep(60)
        raise AssertionError

    async def go() -> Far:
        far = Far(judges)
        replicas = Replicas(far, MODEL, 2)
        future = asyncio.wrap_future(replicas.submit(Request(b"")))
        await asyncio.sleep(0.05)
        assert replicas.queued == 1
        future.cancel()
        await asyncio.sleep(0.05)
        assert replicas.queued == 0
        return far

    assert asyncio.run(go()).cancelled


def test_a_conversation_says_what_the_replica_says_until_nobody_hears() -> None:
    error = died()
    heard: list[Any] = []

    async def says() -> Any:
        yield "a", False
        yield None, True

    async def dies() -> Any:
        yield "a", False
        raise error

    async def go(far: Far, stopped: bool = False) -> ChatTurn:
        talk = ChatTurn(b"", [], "why?", heard.append)
        talk.stopped = stopped
        Replicas(far, MODEL, 2).chat(talk)
        await asyncio.sleep(0.05)
        return talk

    assert asyncio.run(go(Far(says=says))).truncated
    assert heard == ["a", None]
    asyncio.run(go(Far(says=dies)))
    assert heard[2:-1] == ["a"]
    assert heard[-1].status == 503
    far = Far(says=says)
    asyncio.run(go(far, stopped=True))
    assert far.cancelled
    assert len(heard) == 4


# A whole service


def pictures() -> list[bytes]:
    """The examples, and what is none."""
    files = sorted(ROOT.glob("examples/*/*.jpg"))
    assert len(files) == 5
    return [*(file.read_bytes() for file in files), b"no picture"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """Its address and its process; `key` is good for 600 pictures a minute, `few` for one."""
    pytest.importorskip("ray.serve", reason="needs Ray: pip install 'sida[ray]'")
    keys = tmp_path_factory.mktemp("keys") / "keys.yaml"
    desks = [{"name": "desk", "sha256": sha256(b"key")}]
    desks += [{"name": "door", "sha256": sha256(b"few"), "per_minute": 1}]
    keys.write_text(yaml.safe_dump({"keys": desks}))
    command = [sys.executable, "-m", "sida", "serve", "--engine", "ray", "--replicas", "2"]
    command += ["--port", "0", "--keys", str(keys), "--max-wait", "0.05"]
    path = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | path
    ) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if outcome := re.match(r"Serving tiny at (http://127\.0\.0\.1:\d+);", line):
                    break
            assert outcome, "".join(said)
            yield outcome[1], process
        finally:
            if process.poll() is None:
                process.terminate()


def post(address: str, data: bytes, key: str = "key", **form: str) -> httpx.Response:
    return httpx.post(
        f"{address}/v1/detect",
        files={"file": data},
        data=form,
        headers={"X-API-Key": key},
        timeout=120,
    )


@pytest.mark.slow
def test_verdicts_are_those_of_the_plain_service(running: tuple[str, Any]) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda item: post(running[0], item, masks="true"), pictures()))
    with TestClient(create_app(Detector.load("tiny"))) as plain:
        for data, answer in zip(pictures(), answers, strict=True):
            expected = plain.post("/v1/detect", files={"file": data}, data={"masks": "true"})
            assert answer.status_code == expected.status_code
            answer_fields, other = answer.json(), expected.json()
            probabilities = answer_fields.pop("probabilities", None)
            assert probabilities == pytest.approx(other.pop("probabilities", None), abs=1e-6)
            for key in ("mask", "probability_png", "seconds"):  # rounded numbers, and a time
                answer_fields.pop(key, None)
                other.pop(key, None)
            assert answer_fields == other
    assert {answer.status_code for answer in answers} == {200, 422}
    assert any(answer.json().get("mask_png") for answer in answers)


@pytest.mark.slow
def test_keys_batches_and_conversations_are_in_one_place(running: tuple[str, Any]) -> None:
    address, key = running[0], {"X-API-Key": "key"}
    assert httpx.post(f"{address}/v1/detect", files={"file": b""}).status_code == 401
    files = [("file", picture(1)), ("file", b"none"), ("file", picture(2))]
    answer = httpx.post(f"{address}/v1/detect/batch", files=files, headers=key)
    job = f"{address}{answer.headers['location']}"
    with httpx.stream("GET", job, headers={**key, "Accept": "text/event-stream"}) as events:
        assert "event: done" in events.read().decode()
    results = httpx.get(job, headers=key).json()["results"]
    assert [item.get("error") for item in results] == [None, "unreadable_image", None]

    uri = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    for url, status in ((uri, 200), ("data:;base64,AAAA", 422)):
        part = {"type": "image_url", "image_url": {"url": url}}
        calls = {"messages": [{"role": "user", "content": [part]}]}
        said = httpx.post(f"{address}/v1/chat/completions", json=calls, headers=key, timeout=120)
        assert said.status_code == status, said.text
        assert ("Type: " in said.text) == (status == 200)
    figures = httpx.get(f"{address}/metrics").text
    assert 'sida_pictures_total{result="unreadable_image"}' in figures


@pytest.mark.slow
def test_the_minute_of_a_key_is_counted_once_for_all_replicas(running: tuple[str, Any]) -> None:
    codes = [post(running[0], b"none", "few").status_code for _ in range(4)]
    assert codes[0] == 422
    assert 429 in codes


@pytest.mark.slow
def test_sigterm_ends_all_processes_with_status_0(running: tuple[str, Any]) -> None:
    process = running[1]
    children = below(process.pid)
    assert len(children) > 5
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    until = time.monotonic() + 30
    while any(Path(f"/proc/{item}").exists() for item in children):
        assert time.monotonic() < until
        time.sleep(0.1)
