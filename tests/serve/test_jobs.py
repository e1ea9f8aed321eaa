"""Batches: accepted, looked at, followed."""

import base64
import hashlib
import json
import threading
import time

import pytest

from sida.serve import Key, jobs
from sida.verdict import Failure, parse_line
from tests.serve.conftest import picture, serving, sha256
from tests.serve.held import Held
from tests.small import small_detector


def events(text: str) -> list[tuple[str, str, dict]]:
    """Number, kind and data of each."""
    outcome = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        outcome.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return outcome


def test_a_batch_is_judged_in_order_with_failures_in_their_places() -> None:
    pictures = [picture(0), b"broken", picture(2)]
    with serving(small_detector()) as client:
        files = [("file", (f"{i}.png", data)) for i, data in enumerate(pictures)]
        response = client.post("/v1/detect/batch", files=files)
        assert response.status_code == 202
        location = response.headers["location"]
        assert location == f"/v1/jobs/{response.json()['id']}"
        followed = events(client.get(location, headers={"accept": "text/event-stream"}).text)
        job = client.get(location).json()
    assert [event for _, event, _ in followed] == ["result", "result", "result", "done"]
    assert [number for number, _, _ in followed] == ["1", "2", "3", "3"]
    assert [data for _, _, data in followed[:3]] == job["results"]
    assert (job["state"], job["done"], job["total"]) == ("done", 3, 3)
    first, second, third = (parse_line(json.dumps(item)) for item in job["results"])
    assert (first.sha256, third.sha256) == (sha256(picture(0)), sha256(picture(2)))
    assert isinstance(second, Failure)
    assert [item.image for item in (first, second, third)] == ["0.png", "1.png", "2.png"]


def test_progress_is_seen_while_it_goes_on_and_events_go_on_where_they_were_left() -> None:
    held = Held(held=True)
    with serving(held) as client:
        images = [base64.b64encode(picture(seed)).decode() for seed in range(3)]
        location = client.post("/v1/detect/batch", json={"images": images}).headers["location"]
        assert client.get(location).json()["state"] == "working"
        held.turns.release(10)
        while client.get(location).json()["state"] == "working":  # two results have to be there
            time.sleep(0.02)
        headers = {"accept": "text/event-stream", "last-event-id": "2"}
        followed = events(client.get(location, headers=headers).text)
        assert [(number, event) for number, event, _ in followed] == [
            ("3", "result"),
            ("3", "done"),
        ]


@pytest.mark.parametrize("last", ["99", "9" * 5000, "-1", "x"])
def test_a_number_that_no_event_had_stops_nothing(last: str) -> None:
    held = Held(held=True)
    with serving(held) as client:
        location = client.post("/v1/detect/batch", files=[("file", picture())]).headers["location"]
        threading.Timer(0.2, held.turns.release).start()
        headers = {"accept": "text/event-stream", "last-event-id": last}
        assert [event for _, event, _ in events(client.get(location, headers=headers).text)] == [
            "result",
            "done",
        ]


def test_a_job_is_its_owners() -> None:
    keys = [Key(name=name, sha256=hashlib.sha256(name.encode()).hexdigest()) for name in "ab"]
    with serving(Held(), keys=tuple(keys)) as client:
        headers = {"x-api-key": "a"}
        response = client.post("/v1/detect/batch", files={"file": picture()}, headers=headers)
        location = response.headers["location"]
        assert client.get(location, headers=headers).status_code == 200
        assert client.get(location, headers={"x-api-key": "b"}).status_code == 404
        assert client.get("/v1/jobs/x", headers=headers).json()["error"] == "not_found"


def test_too_many_pictures_or_jobs_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(jobs, "MAX_RUNNING", 1)
    held = Held(held=True)
    with serving(held) as client:
        files = [("file", picture())] * 33
        assert client.post("/v1/detect/batch", files=files).status_code in (400, 422)
        text = base64.b64encode(picture()).decode()
        assert client.post("/v1/detect/batch", json={"images": [text] * 33}).status_code == 422
        assert client.post("/v1/detect/batch", files=files[:2]).status_code == 202
        refused = client.post("/v1/detect/batch", files=files[:2])
        assert refused.status_code == 429
        assert "retry-after" in refused.headers
        held.turns.release(10)


def test_answers_that_are_too_large_are_left_out_and_old_ones_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(jobs, "MAX_FINISHED_BYTES", 700)
    with serving(Held()) as client:
        files = [("file", picture())] * 2
        locations = []
        for _ in range(2):
            locations.append(client.post("/v1/detect/batch", files=files).headers["location"])
            client.get(locations[-1], headers={"accept": "text/event-stream"})
        results = client.get(locations[1]).json()["results"]
        assert results[0]["schema"] == "sida.verdict/1"
        assert results[1]["error"] == "too_large"
        assert client.get(locations[0]).status_code == 404


def test_shutting_down_finishes_a_batch() -> None:
    held = Held()
    with serving(held) as client:
        client.post("/v1/detect/batch", files=[("file", picture(seed)) for seed in range(9)])
    assert len(held.judged) == 9


@pytest.mark.parametrize("option", ["masks", "overlays"])
def test_wishes_are_for_every_picture(option: str) -> None:
    with serving(Held()) as client:
        files = [("file", picture())] * 2
        location = client.post("/v1/detect/batch", files=files, data={option: "true"}).headers[
            "location"
        ]
        client.get(location, headers={"accept": "text/event-stream"})
        for result in client.get(location).json()["results"]:
            assert f"{option[:-1]}_png" in result
