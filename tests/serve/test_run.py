"""uvicorn around the app, on loopback: clients that go away, are slow, or are OpenAI's."""

import base64
import json
import re
import socket

import httpx2 as httpx
import pytest

from sida.errors import InputError
from sida.serve import bind
from tests.serve.conftest import listening, picture, sha256, waits
from tests.serve.held import Held

HEAD = "POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def bound(port: int) -> float:
    figures = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    return float(re.findall(r"^sida_places_taken (\S+)$", figures, re.MULTILINE)[0])


def test_a_client_that_goes_away_frees_its_place() -> None:
    held = Held(held=True)
    body = json.dumps({"image": base64.b64encode(picture()).decode()})
    with listening(held, places=3) as port:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        for item in clients:
            item.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        waits(lambda: bound(port) == 3)
        detect, files = f"http://127.0.0.1:{port}/v1/detect", {"file": picture(2)}
        refused = httpx.post(detect, files=files, timeout=60)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        clients[-1].close()
        waits(lambda: bound(port) == 2)
        held.turns.release(1000)
        assert httpx.post(detect, files=files, timeout=60).json()["sha256"] == sha256(picture(2))
        for item in clients[:-1]:
            assert item.recv(100).startswith(b"HTTP/1.1 200")
            item.close()


def test_a_body_that_takes_too_long_is_given_up() -> None:
    with listening(Held(), time_limit=0.2) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 408")
        assert bound(port) == 0


def test_openais_client_streams_an_answer_about_a_picture() -> None:
    openai = pytest.importorskip("openai")
    uri = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    parts = [{"type": "text", "text": "why?"}, {"type": "image_url", "image_url": {"url": uri}}]
    with (
        listening(Held()) as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client,
    ):
        assert [model.id for model in client.models.list()] == ["held"]
        ask = {"model": "held", "messages": [{"role": "user", "content": parts}]}
        chunks = list(client.chat.completions.create(**ask, stream=True))
        completion = client.chat.completions.create(**ask)
        with pytest.raises(openai.NotFoundError, match="'held'"):
            client.chat.completions.create(**{**ask, "model": "other"})
    words = [chunk.choices[0].delta.content for chunk in chunks]
    assert words == ["", "After 0 turns ", "you ask: why?", None]
    assert chunks[0].sida["verdict"]["label"] == "real"
    assert completion.choices[0].message.content == "After 0 turns you ask: why?"


def test_an_address_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} of 127\.0\.0\.1 cannot be used"):
            bind("127.0.0.1", port)
