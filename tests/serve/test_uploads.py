"""Pictures in the forms in which clients send them."""

import base64
import textwrap
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from sida.serve.errors import HttpError
from sida.serve.uploads import _file_name, from_base64
from tests.serve.conftest import picture, serving, sha256
from tests.serve.held import Held

HARD = bytes(range(256)) * 3 + b"\xfb\xff\xfe"
"""Bytes whose base64 has + and / in it."""
TEXT = base64.b64encode(HARD).decode()


def part(disposition: str, body: bytes = b"", media: str = "", encoding: str = "utf-8") -> bytes:
    head = f"Content-Disposition: form-data; {disposition}\r\n".encode(encoding)
    head += f"Content-Type: {media}\r\n".encode() if media else b""
    return b"--edge\r\n" + head + b"\r\n" + body + b"\r\n"


def post(client: TestClient, *parts: bytes, path: str = "/v1/detect"):
    headers = {"content-type": "multipart/form-data; boundary=edge"}
    return client.post(path, content=b"".join(parts) + b"--edge--\r\n", headers=headers)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("name=\"file\"; filename*=UTF-8''f%C3%BCr%20mich.png", "für mich.png"),
        ("name=\"file\"; filename*=utf-8'de'f%C3%BCr.png", "für.png"),
        ("name=\"file\"; filename*=ISO-8859-1''f%FCr.png", "für.png"),
        ("name=\"file\"; filename*=\"UTF-8''a.png\"", "a.png"),
        ("name=\"file\"; filename*=a.png", "a.png"),
        ("name=\"file\"; filename=\"x.png\"; filename*=UTF-8''%C3%BC.png", "ü.png"),
        ("filename*=UTF-8''%C3%BC.png; filename=x.png; name=file", "ü.png"),
        ("name=file; FileName=\"für.png\"", "für.png"),
        ("name=file; filename*0=\"long \"; filename*1=\"name.png\"", "long name.png"),
        ("name=\"file\"; filename*=UTF-8''..%2F..%2Fetc%2Fa%22b%5Cc.png", "c.png"),
        ("name=\"file\"; filename*=UTF-8''", None),
        ("name=\"file\"; filename*=none''%FF.png", "ÿ.png"),
        ("name=\"file\"; filename=\"a;b*=.png\"", "a;b*=.png"),
    ],
)  # fmt: skip
def test_a_file_is_known_by_its_name_in_each_form(disposition: str, name: str | None) -> None:
    with serving(Held()) as client:
        answer = post(client, part(disposition, picture(), "image/png"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["image"] == name
        assert answer.json()["sha256"] == sha256(picture())
        batch = post(client, part(disposition, picture()), path="/v1/detect/batch")
        assert batch.json()["total"] == 1


def test_a_part_with_the_type_of_a_picture_is_a_file() -> None:
    with serving(Held()) as client:
        answer = post(client, part('name="file"', picture(), "image/png"))
        assert answer.json()["sha256"] == sha256(picture())
        assert answer.json()["image"] is None
        field = post(client, part('name="file"', b"words"))
        assert field.status_code == 422
        assert "expected a file in each field" in field.json()["message"]


@given(st.text(), st.binary(max_size=50))
def test_any_disposition_is_a_name_or_none(text: str, media: bytes) -> None:
    disposition = f"form-data; name=file; {text}".encode()
    name = _file_name(disposition, {b"content-type": media})
    assert name is None or isinstance(name, str)


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text,
        lambda text: "\n".join(textwrap.wrap(text, 76)),
        lambda text: "\r\n".join(textwrap.wrap(text, 64)) + "\r\n",
        lambda text: "\n  ".join(textwrap.wrap(text, 76)),
        lambda text: "\n" + text + " \t",
        lambda text: "\ufeff" + text,
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
        lambda text: f"data:image/png;base64,{text}",
        lambda text: f"DATA:image/png;charset=utf-8; Base64 ,{text}",
        lambda text: "data:image/png;base64,\n" + "\n".join(textwrap.wrap(text, 76)),
        lambda text: "data:image/png;base64," + text.replace("+", "%2B").replace("/", "%2f"),
        lambda text: "data:image/png;base64," + text.replace("=", "%3D") + "%0A",
        lambda text: f" data:image/png;base64,{text}",
    ],
)
@pytest.mark.parametrize("length", [len(HARD), len(HARD) - 1, len(HARD) - 2])
def test_base64_is_read_as_programs_write_it(write: Callable[[str], str], length: int) -> None:
    data = HARD[-length:]
    assert from_base64(write(base64.b64encode(data).decode())) == data


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AA=A", "!AAA", "AAAé", "data:image/png,AAAA", "A%2B="]
)
def test_what_is_no_base64_is_a_sentence(text: str) -> None:
    with pytest.raises(HttpError) as caught:
        from_base64(text)
    assert caught.value.status == 422


def test_wrapped_base64_is_judged_and_counted_by_its_bytes() -> None:
    """Line breaks make no picture too large that is not, and let none in that is."""
    data = picture()
    wrapped = "\r\n".join(textwrap.wrap(base64.b64encode(data).decode(), 76))
    with serving(Held()) as client:
        for image in (wrapped, f"data:image/png;base64,{wrapped}"):
            answer = client.post("/v1/detect", json={"image": image})
            assert answer.json()["sha256"] == sha256(data)
    with serving(Held(), max_upload=1) as client:
        for length, status in ((1_000_000, 422), (1_200_000, 413)):
            text = base64.b64encode(bytes(length)).decode()
            lines = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
            for path, body in (
                ("/v1/detect", {"image": lines}),
                ("/v1/report", {"image": lines}),
            ):
                assert client.post(path, json=body).status_code == status, length


@pytest.mark.parametrize("name", ["masks", "overlays", "explain", "provenance"])
def test_a_field_that_was_left_empty_is_the_default(name: str) -> None:
    with serving(Held()) as client:
        files = {"file": picture()}
        answer = client.post("/v1/detect", files=files, data={name: ""})
        assert answer.status_code == 200
        assert answer.json().keys() == client.post("/v1/detect", files=files).json().keys()
        assert client.post("/v1/detect/batch", files=files, data={name: ""}).status_code == 202
        report = client.post("/v1/report", files=files, data={"format": ""})
        assert report.headers["content-type"].startswith("text/html")
        for data in ({"mask": ""}, {name: "maybe"}, {name: " "}):
            refused = client.post("/v1/detect", files=files, data=data)
            assert refused.status_code == 422, data
