"""Places, time, keys: who may come in, and for how long."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from sida.errors import ConfigError
from sida.serve import Key, read_keys
from sida.serve.errors import HttpError
from sida.serve.keys import KeyRing
from tests.serve.conftest import picture, serving, waits
from tests.serve.held import Held

KEY = Key(name="desk", sha256=hashlib.sha256(b"secret").hexdigest(), per_minute=60)


def post(client: TestClient, **options):
    return client.post("/v1/detect", files={"file": picture()}, **options)


def test_over_capacity_is_429_at_once_and_a_place_comes_free() -> None:
    held = Held(held=True)
    with serving(held, places=2) as client, ThreadPoolExecutor(2) as pool:
        inside = [pool.submit(post, client) for _ in range(2)]
        waits(lambda: "sida_places_taken 2.0" in client.get("/metrics").text)
        refused = post(client)
        assert refused.status_code == 429
        assert refused.json()["error"] == "over_capacity"
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
        held.turns.release(10)
        assert [item.result().status_code for item in inside] == [200, 200]
        assert post(client).status_code == 200
        assert "sida_places_taken 0.0" in client.get("/metrics").text


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    held = Held(held=True)
    with serving(held, time_limit=0.1, places=1) as client:
        for _ in range(2):
            answer = post(client)
            assert answer.status_code == 503
            assert answer.json()["error"] == "too_slow"
        held.turns.release(10)


def test_a_defect_is_said_to_be_one(monkeypatch) -> None:
    held = Held()

    def broken(requests):
        next(iter(requests))
        raise RuntimeError("shapes")

    monkeypatch.setattr(held, "run", broken)
    with serving(held) as client:
        answer = post(client)
        assert answer.status_code == 500
        assert answer.json()["error"] == "defect"
        assert "shapes" not in answer.text


@pytest.mark.parametrize("headers", [{"authorization": "Bearer secret"}, {"x-api-key": "secret"}])
def test_with_a_key_one_may_ask(headers) -> None:
    with serving(Held(), keys=(KEY,)) as client:
        assert post(client, headers=headers).status_code == 200
        assert client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer Secret"}, {"x-api-key": "é"}])
def test_without_a_key_nothing_is_answered(headers) -> None:
    headers = {name: text.encode() for name, text in headers.items()}
    with serving(Held(), keys=(KEY,)) as client:
        answer = post(client, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/v1/jobs/x"):
            assert client.get(path, headers=headers).status_code == 401
        for path in ("/healthz", "/readyz", "/metrics", "/docs"):
            assert client.get(path).status_code == 200


def test_a_key_is_good_for_so_many_pictures_a_minute() -> None:
    now = 0.0
    ring = KeyRing([KEY], lambda: now)
    desk = ring.owner({"authorization": "Bearer secret"})
    assert desk == "desk"
    for _ in range(60):
        ring.require_left(desk)
        ring.charge(desk, 1)
    with pytest.raises(HttpError) as caught:
        ring.require_left(desk)
    assert caught.value.status == 429
    assert caught.value.headers == {"Retry-After": "2"}
    now = 1.1
    ring.require_left(desk)
    ring.charge(desk, 10)  # a batch may go beyond what is left
    now = 9.0
    with pytest.raises(HttpError):
        ring.require_left(desk)
    now = 12.0
    ring.require_left(desk)


def test_a_key_that_is_used_up_may_still_look_at_its_job() -> None:
    key = KEY.model_copy(update={"per_minute": 1})
    headers = {"x-api-key": "secret"}
    with serving(Held(), keys=(key,)) as client:
        files = [("file", picture())] * 3
        response = client.post("/v1/detect/batch", files=files, headers=headers)
        assert post(client, headers=headers).status_code == 429
        assert client.get(response.headers["location"], headers=headers).status_code == 200


def test_keys_come_from_a_file(tmp_path) -> None:
    place = tmp_path / "keys.yaml"
    place.write_text(f"keys:\n- name: desk\n  sha256: {KEY.sha256}\n  per_minute: 60\n")
    assert read_keys(place) == (KEY,)
    place.write_text("keys:\n- name: desk\n  sha256: secret\n")
    with pytest.raises(ConfigError, match="sha256"):
        read_keys(place)
    place.write_text("keys:\n" + 2 * f"- name: desk\n  sha256: {KEY.sha256}\n")
    with pytest.raises(ConfigError, match="the same name"):
        read_keys(place)
