"""`POST /v1/report`: a picture in, one closed file out."""

import base64
import sys

import pytest
from fastapi.testclient import TestClient

from tests.pictures import encoded, photo
from tests.serve.conftest import picture, sha256


def test_a_report_has_the_verdict_and_what_the_file_says(client: TestClient) -> None:
    answer = client.post("/v1/report", files={"file": ("photo <1>.png", picture())})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert "photo &lt;1&gt;.png" in answer.text
    assert sha256(picture()) in answer.text
    assert "Provenance" in answer.text
    body = {"image": base64.b64encode(picture()).decode(), "format": "html"}
    assert sha256(picture()) in client.post("/v1/report", json=body).text


def test_a_report_shows_deliveries_where_they_are_asked_for(client: TestClient) -> None:
    form = {"data": {"stability": "true"}, "files": {"file": picture()}}
    assert "of 6 deliveries" in client.post("/v1/report", **form).text.replace("all 6", "of 6")
    assert "deliveries" not in client.post("/v1/report", files={"file": picture()}).text


def test_a_pdf_is_written_where_weasyprint_is(client: TestClient, monkeypatch) -> None:
    pytest.importorskip("weasyprint")
    form = {"data": {"format": "pdf"}, "files": {"file": picture()}}
    answer = client.post("/v1/report", **form)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    refused = client.post("/v1/report", **form)
    assert refused.status_code == 422
    assert "weasyprint" in refused.json()["message"]


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        ({"files": {"file": b"no picture"}}, 422, "no picture"),
        ({"files": {"file": encoded(photo(), "PNG")}, "data": {"format": "docx"}}, 422, "format"),
        ({"files": {"file": encoded(photo(), "PNG")}, "data": {"masks": "on"}}, 422, "masks"),
        ({"json": {"format": "pdf"}}, 422, "image"),
    ],
)
def test_what_cannot_be_reported_on_is_a_sentence(
    client: TestClient, sent, status, sentence
) -> None:
    answer = client.post("/v1/report", **sent)
    assert answer.status_code == status
    assert sentence in answer.json()["message"]
