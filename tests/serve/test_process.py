"""`sida serve` as a process of its own, with a detector that goes on when it gets SIGUSR1."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from sida.errors import InputError
from sida.serve import bind
from tests.serve.conftest import picture, sha256

HEAD = "POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ROOT = Path(__file__).parents[2]
CODE = """
import signal, sys, types
from collections import namedtuple
sys.path.insert(0, {root!r})
from tests.serve.held import Held
held = Held(held=True)
held.load = lambda *_: held
signal.signal(signal.SIGUSR1, lambda *_: held.turns.release(1000))
module = types.ModuleType("sida.detector")
module.Detector = held
module.Request = namedtuple("Request", "picture explain", defaults=[False])
sys.modules["sida.detector"] = module
from sida.cli import main
main()
"""


class Server:
    """A process, and where it listens."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", CODE.format(root=str(ROOT)), "serve", "--port", "0"]
        self.process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, line + self.process.stderr.read()
        self.port = int(found[1])
        self.address = found[0]

    def post(self, seed: int) -> httpx.Response:
        return httpx.post(f"{self.address}/v1/detect", files={"file": picture(seed)}, timeout=60)

    def figure(self, name: str) -> float:
        figures = httpx.get(f"{self.address}/metrics", timeout=60).text
        found = re.search(rf"^{name} (\S+)$", figures, re.MULTILINE)
        assert found, figures
        return float(found[1])

    def wait_for(self, name: str, value: float) -> None:
        until = time.monotonic() + 60
        while self.figure(name) != value:
            assert time.monotonic() < until, f"{name} is not {value}"
            time.sleep(0.01)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    """Starts a server; what was started is ended."""
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        started.append(Server(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()
        assert each.process.stderr is not None
        each.process.stderr.close()


def test_what_was_accepted_is_answered_after_sigterm_and_the_status_is_0(server) -> None:
    serving = server()
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(serving.post, seed) for seed in range(5)]
        serving.wait_for("sida_places_taken", 5)
        serving.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 60
        while True:  # it no longer listens
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", serving.port)):
                    break
            assert time.monotonic() < until
            time.sleep(0.02)
        serving.go_on()
        answers = [each.result() for each in asked]
    assert [each.status_code for each in answers] == 5 * [200]
    assert [each.json()["sha256"] for each in answers] == [sha256(picture(s)) for s in range(5)]
    assert serving.process.wait(60) == 0
    assert serving.process.stderr.read() == ""


def test_over_capacity_is_429_and_a_client_that_goes_away_frees_its_place(server) -> None:
    serving = server("--places", "3")
    body = json.dumps({"image": base64.b64encode(picture()).decode()})
    clients = []
    for _ in range(3):
        clients.append(socket.create_connection(("127.0.0.1", serving.port)))
        clients[-1].sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    serving.wait_for("sida_places_taken", 3)
    refused = serving.post(1)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    clients[-1].close()
    serving.wait_for("sida_places_taken", 2)
    serving.go_on()
    assert serving.post(2).json()["sha256"] == sha256(picture(2))
    for each in clients[:-1]:
        assert each.recv(100).startswith(b"HTTP/1.1 200")
        each.close()


def test_a_body_that_takes_too_long_is_given_up(server) -> None:
    serving = server("--time-limit", "0.2")
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.sendall(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 408")
    serving.wait_for("sida_places_taken", 0)


def test_openais_client_streams_an_answer_about_a_picture(server) -> None:
    openai = pytest.importorskip("openai")
    serving = server()
    uri = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    parts = [{"type": "text", "text": "why?"}, {"type": "image_url", "image_url": {"url": uri}}]
    with openai.OpenAI(base_url=f"{serving.address}/v1", api_key="none") as client:
        assert [model.id for model in client.models.list()] == ["held"]
        ask = {"model": "held", "messages": [{"role": "user", "content": parts}]}
        chunks = list(client.chat.completions.create(**ask, stream=True))
        whole = client.chat.completions.create(**ask)
        with pytest.raises(openai.NotFoundError, match="'held'"):
            client.chat.completions.create(**{**ask, "model": "other"})
    words = [chunk.choices[0].delta.content for chunk in chunks]
    assert words == ["", "After 0 turns ", "you ask: why?", None]
    assert chunks[0].sida["verdict"]["label"] == "real"
    assert whole.choices[0].message.content == "After 0 turns you ask: why?"


def test_an_address_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} of 127\.0\.0\.1 cannot be used"):
            bind("127.0.0.1", port)
