"""`POST /v1/detect`: forms and JSON in, verdicts and PNGs out, sentences for the rest."""

import base64
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from sida.detector import Detector
from sida.errors import ConfigError
from sida.image.deliveries import deliver
from sida.inference import engine
from sida.model.budget import BudgetCalibration
from sida.model.calibration import Calibration
from sida.provenance import inspect, inspection
from sida.verdict import Verdict
from tests.pictures import encoded, file_bytes, photo
from tests.provenance import made_files as made
from tests.provenance import signing
from tests.serve.conftest import picture, serving, sha256
from tests.serve.held import Held
from tests.serve.hostile import hostile
from tests.small import small_detector

TAMPERED = Calibration(bias=(0.0, 0.0, 100.0))


def tampering() -> Detector:
    return small_detector(calibration=TAMPERED)


def levels(png: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(png))))


def test_a_file_gets_the_verdict_that_the_detector_gives(client: TestClient) -> None:
    answer = client.post("/v1/detect", files={"file": ("below/photo.png", picture())})
    assert answer.status_code == 200
    verdict = Verdict.model_validate_json(answer.content)
    expected = small_detector().detect(picture())
    expected = expected.model_copy(update={"image": "photo.png", "seconds": verdict.seconds})
    assert verdict == expected
    assert "mask_png" not in answer.json()


def test_json_is_answered_as_a_form_is(client: TestClient) -> None:
    text = base64.b64encode(picture()).decode()
    for image in (text, f"data:image/png;base64,{text}"):
        answer = client.post("/v1/detect", json={"image": image})
        assert answer.status_code == 200
        assert answer.json()["sha256"] == sha256(picture())
        assert answer.json()["image"] is None


def test_mask_and_overlay_come_where_they_are_asked_for() -> None:
    verdict = tampering().detect(picture())
    with serving(tampering()) as client:
        options = {"masks": "true", "overlays": "1"}
        answer = client.post("/v1/detect", files={"file": picture()}, data=options).json()
        assert (levels(answer["mask_png"]) == 255 * verdict.mask).all()
        rounded = np.rint(255 * verdict.probability_map)
        assert (levels(answer["probability_png"]) == rounded).all()
        assert levels(answer["overlay_png"]).shape == photo().shape
        assert (levels(answer["overlay_png"]) != photo()).any()
        answer = client.post("/v1/detect", files={"file": picture()}, data={"masks": "on"}).json()
        assert "overlay_png" not in answer


def test_a_picture_without_a_mask_has_none_to_send() -> None:
    with serving(Held()) as client:
        body = {"image": base64.b64encode(picture()).decode(), "masks": True, "overlays": True}
        answer = client.post("/v1/detect", json=body).json()
        assert answer["mask_png"] is answer["overlay_png"] is None


def test_an_explanation_comes_where_it_is_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(engine, "TEXT_LIMIT", 4)
    with serving(tampering()) as client:
        response = client.post("/v1/detect", files={"file": picture()}, data={"explain": "true"})
        assert response.json()["explanation"]["text"] is not None
        assert client.post("/v1/detect", files={"file": picture()}).json()["explanation"] is None


def budgets(*high: float) -> BudgetCalibration:
    """A calibration of the small detector on 19 photographs, of which these score highest."""
    return BudgetCalibration.of("desk", "0" * 64, {"as_is": [0.0] * (19 - len(high)) + [*high]})


def test_a_budget_is_a_field_of_forms_and_json() -> None:
    expected = small_detector(budgets=budgets(0.9)).detect(picture(), max_false_positives=0.05)
    body = {"image": base64.b64encode(picture()).decode(), "max_false_positives": 0.05}
    wish = {"max_false_positives": "0.05"}
    with serving(small_detector(budgets=budgets(0.9))) as client:
        for answer in (
            client.post("/v1/detect", json=body).json(),
            client.post("/v1/detect", files={"file": picture()}, data=wish).json(),
        ):
            assert answer["budget"] == expected.budget.model_dump()
            assert answer["label"] == expected.label
            assert answer["inconclusive"] == expected.inconclusive
        for fields in ({}, {"max_false_positives": ""}):
            plain = client.post("/v1/detect", files={"file": picture()}, data=fields).json()
            assert plain.get("budget") is None
        (model,) = client.get("/v1/models").json()["data"]
        assert model["budgets"] == {
            "set": "desk",
            "photographs": 19,
            "smallest": 0.05,
            "default": None,
        }


def test_the_services_own_budget_holds_where_none_is_asked_for() -> None:
    with serving(small_detector(budgets=budgets(0.7, 0.9)), max_false_positives=0.1) as client:
        answer = client.post("/v1/detect", files={"file": picture()}).json()
        assert answer["budget"]["threshold"] == 0.7
        wish = {"max_false_positives": "0.05"}
        answer = client.post("/v1/detect", files={"file": picture()}, data=wish).json()
        assert answer["budget"]["threshold"] == 0.9
    with pytest.raises(ConfigError, match="takes at least 99"):
        serving(small_detector(budgets=budgets(0.9)), max_false_positives=0.01)


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/detect/batch", "/v1/report"])
def test_a_budget_that_cannot_be_kept_is_a_sentence(path: str) -> None:
    for calibration, share, message in (
        (None, "0.05", "has no calibration"),
        (budgets(0.9), "0.01", "takes at least 99"),
        (budgets(0.9), "2", "less than 1"),
        (budgets(0.9), "few", "valid number"),
    ):
        with serving(small_detector(budgets=calibration)) as client:
            wish = {"max_false_positives": share}
            answer = client.post(path, files={"file": picture()}, data=wish)
            assert answer.status_code == 422
            assert message in answer.json()["message"]


def test_deliveries_are_judged_and_shown_where_that_is_asked_for(client: TestClient) -> None:
    expected = small_detector().detect(picture(), stability=True).stability
    form = {"files": {"file": picture()}, "data": {"stability": "true"}}
    answer = client.post("/v1/detect", **form).json()
    assert answer["stability"] == expected.model_dump(mode="json")
    assert "delivery_jpegs" not in answer
    form["data"]["deliveries"] = "true"
    shown = client.post("/v1/detect", **form).json()["delivery_jpegs"]
    assert list(shown) == [item["name"] for item in answer["stability"]["deliveries"]]
    for name, jpeg in shown.items():
        assert base64.b64decode(jpeg).startswith(b"\xff\xd8")
        assert levels(jpeg).shape == deliver(photo(), name).shape
    alone = {"files": {"file": picture()}, "data": {"deliveries": "true"}}
    answer = client.post("/v1/detect", **alone).json()
    assert answer["delivery_jpegs"] is None
    assert "stability" not in answer


def test_provenance_comes_where_it_is_asked_for(client: TestClient, monkeypatch) -> None:
    form = {"files": {"file": picture()}, "data": {"provenance": "true"}}
    answer = client.post("/v1/detect", **form).json()
    expected = inspect(picture()).model_dump(mode="json")
    assert answer["provenance"] == expected
    assert client.post("/v1/detect", files={"file": picture()}).json()["provenance"] is None
    monkeypatch.setattr(inspection, "PACKAGES", {"no_such_package": "no-such-package"})
    refused = client.post("/v1/detect", **form)
    assert refused.status_code == 422
    assert "pip install 'sida[provenance]'" in refused.json()["message"]
    assert client.post("/v1/detect", files={"file": picture()}).status_code == 200


def test_issuers_that_the_operator_trusts_are_trusted() -> None:
    data = signing.signed(made.jpeg())
    for trust, state in (
        (None, "signed, issuer not trusted"),
        (signing.trusted(), "signed, valid"),
    ):
        with serving(small_detector(trust=trust)) as client:
            sent = {"files": {"file": data}, "data": {"provenance": "true"}}
            declared = client.post("/v1/detect", **sent).json()["provenance"]["declared"]
        assert {item["state"] for item in declared} == {state}


@pytest.mark.parametrize("kind", ["jpeg", "webp", "heic", "tiff", "mpo"])
def test_the_content_says_what_a_file_is(client: TestClient, kind: str) -> None:
    data = file_bytes(kind)
    answer = client.post("/v1/detect", files={"file": ("x.txt", data, "text/plain")})
    assert answer.status_code == 200
    assert answer.json()["sha256"] == sha256(data)


def test_what_cannot_be_read_is_a_failure_with_its_name(client: TestClient) -> None:
    answer = client.post("/v1/detect", files={"file": ("page.jpg", b"<html>")})
    assert answer.status_code == 422
    assert answer.json() == {
        "schema": "sida.failure/1",
        "image": "page.jpg",
        "error": "unreadable_image",
        "message": answer.json()["message"],
    }
    assert "a web page, no picture" in answer.json()["message"]


def test_every_kind_of_hostile_upload_is_refused_with_a_sentence() -> None:
    with serving(small_detector(), max_upload=1) as client:
        for upload in hostile(80):
            answer = client.post(
                "/v1/detect", content=upload.body, headers={"content-type": upload.content_type}
            )
            assert 400 <= answer.status_code < 500, (upload.kind, answer.text)
            assert answer.json()["schema"] == "sida.failure/1"
            assert len(answer.json()["message"]) > 10, upload.kind
        assert client.post("/v1/detect", files={"file": picture()}).status_code == 200


def test_a_body_is_counted_while_it_comes() -> None:
    def endless():
        for _ in range(100):
            yield b"x" * 10_000

    with serving(Held(), max_upload=0.05) as client:
        for kind in ("application/json", "multipart/form-data; boundary=b"):
            answer = client.post("/v1/detect", content=endless(), headers={"content-type": kind})
            assert answer.status_code == 413
            assert answer.json()["error"] == "too_large"
        answer = client.post("/v1/detect", files={"file": bytes(200_000)})
        assert answer.status_code == 413


def test_pixels_are_limited_by_the_header() -> None:
    with serving(small_detector(max_pixels=1000)) as client:
        answer = client.post("/v1/detect", files={"file": picture()})
        assert answer.status_code == 413
        assert "megapixels" in answer.json()["message"]


def test_several_files_are_for_the_batch(client: TestClient) -> None:
    files = [("file", picture()), ("file", picture(1))]
    answer = client.post("/v1/detect", files=files)
    assert answer.status_code == 422
    assert "/v1/detect/batch" in answer.json()["message"]


def test_nothing_is_kept_unless_a_folder_is_given(tmp_path) -> None:
    with serving(Held(), keep=tmp_path / "kept") as client:
        for data in (picture(), picture(), encoded(photo(), "JPEG"), b"broken"):
            client.post("/v1/detect", files={"file": ("../../x", data)})
    contents = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    jpeg = encoded(photo(), "JPEG")
    assert contents == {f"{sha256(picture())}.png": picture(), f"{sha256(jpeg)}.jpg": jpeg}


def test_a_folder_that_refuses_costs_the_keeping_alone(tmp_path, caplog) -> None:
    (tmp_path / "file").touch()
    with serving(Held(), keep=tmp_path / "file") as client:
        assert client.post("/v1/detect", files={"file": picture()}).status_code == 200
    assert "could not be kept" in caplog.text


def test_large_files_stay_in_memory(monkeypatch) -> None:
    import tempfile

    def refuse(self):
        raise AssertionError("a file on the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    large = encoded(noise, "PNG")
    assert len(large) > 1_500_000
    with serving(Held()) as client:
        answer = client.post("/v1/detect", files={"file": large})
        assert answer.json()["sha256"] == sha256(large)
