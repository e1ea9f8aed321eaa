"""The language model behind an endpoint: what is asked, what of the answer is used."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sida.errors import ConfigError, DownloadError
from sida.forge.config import Language
from sida.forge.language import Replacement, choose_replacement

GOOD = {"object": "dog", "replacement": "cat", "prompt": "a cat on a sofa"}


class Server(ThreadingHTTPServer):
    """Answers with what it is told to, and keeps what it was asked."""

    answers: list[tuple[int, Any]]
    requests: list[tuple[dict[str, str], Any]]

    @property
    def language(self) -> Language:
        url = f"http://127.0.0.1:{self.server_port}/v1/"
        return Language(url=url, model="m", key_variable="TEST_KEY", timeout=5, attempts=2)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((dict(self.headers), body))
        status, content = self.server.answers.pop(0) if self.server.answers else (500, "")
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status if self.path == "/v1/chat/completions" else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("sida.forge.language.time.sleep", lambda seconds: None)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.answers, running.requests = [], []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def completion(content: str) -> tuple[int, Any]:
    return 200, {"choices": [{"message": {"role": "assistant", "content": content}}]}


def test_an_object_of_the_caption_and_its_replacement(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "secret")
    server.answers = [completion(f"Sure:\n```json\n{json.dumps(GOOD)}\n```")]
    assert choose_replacement(server.language, "A Dog on a sofa", 3) == Replacement(**GOOD)
    ((headers, body),) = server.requests
    assert headers["Authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"], body["seed"]) == ("m", 0, 3)
    assert body["messages"][-1] == {"role": "user", "content": "A Dog on a sofa"}


@pytest.mark.parametrize("answer", ["no JSON", "{}", '{"object": 3}', json.dumps(GOOD)])
def test_answers_that_do_not_fit_the_caption_are_no_use(server: Server, answer: str) -> None:
    server.answers = [completion(answer), completion(answer)]
    assert choose_replacement(server.language, "an empty street", 0) is None
    assert [body["seed"] for _, body in server.requests] == [0, 1]


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.answers = [(503, "busy"), completion(json.dumps(GOOD))]
    assert choose_replacement(server.language, "a dog", 0) == Replacement(**GOOD)


def test_what_is_wrong_with_the_endpoint_is_told(server: Server) -> None:
    server.answers = [(401, "bad key")]
    with pytest.raises(ConfigError, match=r"refused the request \(401: bad key\).*TEST_KEY"):
        choose_replacement(server.language, "a dog", 0)
    server.answers = [(200, {"error": "x"})]
    with pytest.raises(ConfigError, match="expected choices with a message"):
        choose_replacement(server.language, "a dog", 0)
    with pytest.raises(DownloadError, match=r"cannot be reached \(HTTP Error 500"):
        choose_replacement(server.language, "a dog", 0)
