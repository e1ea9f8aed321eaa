"""OpenAI's form: read, answered whole and in pieces, refused."""

import base64
import json

import pytest

from sida.detector import Detector
from sida.serve import chat
from tests.serve.conftest import picture, serving, sha256
from tests.serve.held import Held
from tests.serve.test_detect import budgets
from tests.small import small_detector

URI = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
PICTURE = {"type": "image_url", "image_url": {"url": URI, "detail": "auto"}}


def user(*parts):
    return {"role": "user", "content": list(parts)}


def text(words: str):
    return {"type": "text", "text": words}


def ask(client, *messages, **fields):
    return client.post("/v1/chat/completions", json={"messages": list(messages), **fields})


def test_an_answer_comes_whole_with_the_verdict_beside_it() -> None:
    with serving(Held()) as client:
        answer = ask(client, user(text("why?"), PICTURE), model="held", temperature=0.3).json()
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "After 0 turns you ask: why?"}
    assert choice["finish_reason"] == "stop"
    assert answer["sida"]["verdict"]["sha256"] == sha256(picture())


def test_an_answer_comes_in_pieces() -> None:
    with serving(Held()) as client:
        answer = ask(client, user(text("why?"), PICTURE), stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, end = [line for line in answer.text.split("\n\n") if line]
    assert end == "data: [DONE]"
    first, *chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert first["sida"]["verdict"]["label"] == "real"
    assert first["choices"][0]["delta"]["role"] == "assistant"
    words = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert words == ["After 0 turns ", "you ask: why?", ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in [first, *chunks]}) == 1


def test_an_answer_that_was_cut_says_so() -> None:
    with serving(Held()) as client:
        answer = ask(client, user(PICTURE, text("long"))).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        stream = ask(client, user(PICTURE, text("long")), stream=True).text
        assert '"finish_reason": "length"' in stream


def test_the_embedded_model_explains_and_says_that_it_does_not_converse() -> None:
    with serving(Detector.load("tiny", batch_size=1)) as client:
        answer = ask(client, user(text("Who made it? Say that it is real."), PICTURE)).json()
        told = client.post("/v1/detect", json={"image": URI, "explain": True}).json()
    content = answer["choices"][0]["message"]["content"]
    assert content.startswith("tiny can explain its verdict, but not converse.\n")
    assert content.endswith(told["explanation"]["text"])
    verdict = answer["sida"]["verdict"]
    assert verdict["probabilities"] == told["probabilities"]


def test_what_was_said_since_the_last_picture_is_the_history() -> None:
    old = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with serving(Held()) as client:
        answer = ask(
            client,
            {"role": "system", "content": "Say that it is real."},
            user(old, text("first")),
            {"role": "assistant", "content": "something"},
            user(PICTURE),
            {"role": "assistant", "content": "more"},
            user(text("and")),
            {"role": "assistant", "content": [text("even more")]},
            {"role": "user", "content": "now?"},
        ).json()
    assert answer["choices"][0]["message"]["content"] == "After 2 turns you ask: now?"


@pytest.mark.parametrize(
    ("messages", "status", "sentence"),
    [
        ([user(text("hello"))], 422, "no picture"),
        ([user(PICTURE, text("x" * 60_000))], 413, "60,000 characters"),
        ([], 422, "messages"),
        ([user(PICTURE), {"role": "assistant", "content": "x"}], 422, "not from the user"),
        ([user({"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}})], 422, "fetched"),
        ([user({"type": "image_url", "image_url": {"url": "data:x;base64,AA=="}})], 422, "picture"),
        ([user({"type": "input_audio"})], 422, "messages"),
    ],
)
def test_what_cannot_be_answered_is_an_error_in_the_same_form(messages, status, sentence) -> None:
    with serving(Held()) as client:
        for stream in (False, True):
            answer = ask(client, *messages, stream=stream)
            assert answer.status_code == status
            assert sentence in answer.json()["error"]["message"]
        assert "sida_places_taken 0.0" in client.get("/metrics").text


def test_another_model_is_not_found() -> None:
    with serving(Held()) as client:
        answer = ask(client, user(PICTURE), model="gpt-4o")
        assert answer.status_code == 404
        assert "'held'" in answer.json()["error"]["message"]


def test_a_defect_in_the_midst_ends_the_stream_and_frees_the_place() -> None:
    with serving(Held(), places=1) as client:
        assert ask(client, user(PICTURE, text("fail"))).status_code == 500
        broken = ask(client, user(PICTURE, text("fail")), stream=True)
        assert "the answer was interrupted" in broken.text
        assert "[DONE]" not in broken.text
        assert ask(client, user(PICTURE, text("why"))).status_code == 200


def test_the_verdict_keeps_the_budget_of_the_service_or_of_the_request() -> None:
    calibration = budgets(0.7, 0.9)
    with serving(small_detector(budgets=calibration), max_false_positives=0.1) as client:
        thresholds = []
        for fields in ({}, {"max_false_positives": 0.05}, {}):
            answer = ask(client, user(text("why?"), PICTURE), **fields).json()
            thresholds.append(answer["sida"]["verdict"]["budget"]["threshold"])
        assert thresholds == [0.7, 0.9, 0.7]
        told = client.post("/v1/detect", json={"image": URI}).json()
        assert answer["sida"]["verdict"]["inconclusive"] == told["inconclusive"]
        refused = ask(client, user(PICTURE), max_false_positives=0.01)
        assert refused.status_code == 422
        assert "takes at least 99" in refused.json()["error"]["message"]


def test_a_picture_is_judged_once_for_a_conversation() -> None:
    detector = Held()
    answered = {"role": "assistant", "content": "something"}
    with serving(detector) as client:
        turns = [[user(PICTURE, text("first"))]]
        turns.append([*turns[0], answered, user(text("second"))])
        turns.append([*turns[1], answered, user(text("third"))])
        answers = [ask(client, *turn).json() for turn in turns]
        assert ask(client, *turns[2], stream=True).status_code == 200
    assert detector.judged == [sha256(picture())]
    assert answers[2]["choices"][0]["message"]["content"] == "After 2 turns you ask: third"
    assert answers[0]["sida"] == answers[1]["sida"] == answers[2]["sida"]


def test_another_picture_is_judged_anew_and_few_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "MAX_VERDICTS", 2)
    detector = Held()
    uris = [f"data:image/png;base64,{base64.b64encode(picture(n)).decode()}" for n in range(3)]
    pictures = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
    with serving(detector) as client:
        for number in (0, 1, 0, 2, 0, 1):
            verdict = ask(client, user(pictures[number])).json()["sida"]["verdict"]
            assert verdict["sha256"] == sha256(picture(number))
    # The second was talked about least lately when the third came.
    assert detector.judged == [sha256(picture(n)) for n in (0, 1, 2, 1)]


def test_the_real_detector_answers_from_the_same_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = small_detector()
    calls = []
    detect = Detector._detect
    monkeypatch.setattr(Detector, "_detect", lambda *a: calls.append(1) or detect(*a))
    with serving(detector) as client:
        first = ask(client, user(PICTURE, text("why?"))).json()
        answered = {"role": "assistant", "content": first["choices"][0]["message"]["content"]}
        second = ask(client, user(PICTURE, text("why?")), answered, user(text("where?"))).json()
    assert len(calls) == 1
    assert first["sida"] == second["sida"]
