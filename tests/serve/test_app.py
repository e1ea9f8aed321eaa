"""What stands around the verdicts: probes, figures, headers, documentation."""

import re

import pytest

from sida.serve import ServeSettings, create_app
from sida.serve.keys import Key
from tests.serve.conftest import picture, serving
from tests.serve.held import Held
from tests.small import small_detector


def test_probes_and_models() -> None:
    with serving(Held()) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready", "model": "held"}
        (model,) = client.get("/v1/models").json()["data"]
        assert (model["id"], model["object"]) == ("held", "model")
        assert model["sida"]["digest"] == "0" * 64


def test_after_the_end_the_service_is_not_ready() -> None:
    client = serving(Held())
    with client:
        pass
    assert client.get("/readyz").status_code == 503
    assert client.post("/v1/detect", files={"file": picture()}).status_code == 503


def test_figures_count_requests_by_route_and_pictures_by_result() -> None:
    with serving(Held()) as client:
        client.post("/v1/detect", files={"file": picture()})
        client.post("/v1/detect", files={"file": b"broken"})
        client.get("/v1/jobs/some-id")
        client.get("/nowhere/some-id")
        figures = client.get("/metrics").text
    assert 'sida_pictures_total{result="real"} 1.0' in figures
    assert 'sida_pictures_total{result="unreadable_image"} 1.0' in figures
    assert 'sida_requests_total{route="/v1/detect",status="200"} 1.0' in figures
    assert 'sida_requests_total{route="/v1/detect",status="422"} 1.0' in figures
    assert 'route="/v1/jobs/{id}",status="404"' in figures
    assert 'route="other",status="404"' in figures
    assert "some-id" not in figures


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/docs", "/nowhere"])
def test_browsers_are_told_to_load_nothing_from_elsewhere(path: str) -> None:
    with serving(Held()) as client:
        headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src 'self';" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_the_documentation_loads_nothing_from_elsewhere() -> None:
    with serving(Held()) as client:
        page = client.get("/docs").text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(loaded) == 3
        for path in loaded:
            assert path.startswith("/docs/")
            assert client.get(path).status_code == 200
        assert "<script>" not in page
        schema = client.get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) == {
        "/v1/detect",
        "/v1/detect/batch",
        "/v1/report",
        "/v1/jobs/{id}",
        "/v1/chat/completions",
        "/v1/models",
        "/healthz",
        "/readyz",
        "/metrics",
    }


def test_pages_of_other_origins_may_ask_only_where_they_are_named() -> None:
    preflight = {"origin": "https://a.example", "access-control-request-method": "POST"}
    with serving(Held()) as client:
        assert client.options("/v1/detect", headers=preflight).status_code == 405
    with serving(Held(), allow_origin=("https://a.example",)) as client:
        headers = client.options("/v1/detect", headers=preflight).headers
        assert headers["access-control-allow-origin"] == "https://a.example"
        other = {**preflight, "origin": "https://b.example"}
        assert client.options("/v1/detect", headers=other).status_code == 400


def test_unknown_paths_and_methods_are_sentences() -> None:
    with serving(Held()) as client:
        for answer in (client.get("/nowhere"), client.delete("/v1/detect")):
            assert answer.json()["schema"] == "sida.failure/1"
            assert "/docs" in answer.json()["message"]


def test_the_page_is_served_where_there_is_one(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sida.serve.app.WEB", tmp_path / "page")
    with serving(Held()) as client:
        assert client.get("/", follow_redirects=False).headers["location"] == "/docs"
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("<p>page</p>")
    (tmp_path / "page/app.js").write_text("1")
    with serving(Held()) as client:
        assert client.get("/").text == "<p>page</p>"
        assert client.head("/").status_code == 200
        assert client.get("/page/app.js").text == "1"


def test_an_app_needs_no_options() -> None:
    assert create_app(Held()).title == "sida"  # type: ignore[arg-type]
    assert ServeSettings().places == 64


PATHS = (
    "/",
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/models",
    "/page/index.html",
    "/v1/jobs/none",
    "/v1/detect",
    "/nowhere",
)


@pytest.mark.parametrize("path", PATHS)
def test_head_is_answered_as_get_without_a_body(path: str) -> None:
    with serving(Held()) as client:
        got, headed = client.get(path), client.head(path)
        assert headed.status_code == got.status_code
        assert headed.content == b""
        for name in ("content-type", "content-security-policy", "x-content-type-options", "allow"):
            assert headed.headers.get(name) == got.headers.get(name)
        if path not in ("/metrics", "/readyz"):
            assert headed.headers["content-length"] == got.headers["content-length"]


def test_every_get_route_is_among_those_paths() -> None:
    app = create_app(small_detector())
    gets = {route.path for route in app.routes if "GET" in getattr(route, "methods", ())}
    assert {path.replace("{id}", "none") for path in gets} <= set(PATHS)


def test_head_of_events_does_not_wait_for_their_end() -> None:
    detector = Held(held=True)
    with serving(detector) as client:
        job = client.post("/v1/detect/batch", files={"file": picture()}).json()["id"]
        headed = client.head(f"/v1/jobs/{job}", headers={"accept": "text/event-stream"})
        assert headed.status_code == 200
        assert headed.headers["content-type"].startswith("text/event-stream")
        detector.turns.release(9)


def test_head_counts_under_its_route() -> None:
    with serving(Held()) as client:
        client.head("/healthz")
        assert 'route="/healthz",status="200"' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/detect"),
        ("POST", "/v1/detect/batch"),
        ("POST", "/v1/report"),
        ("GET", "/v1/models"),
        ("GET", "/v1/jobs/none"),
    ],
)
def test_an_unknown_query_parameter_is_refused(method: str, path: str) -> None:
    """It would be missing from the answer without a word, as in `/v1/detect?masks=true`."""
    with serving(Held()) as client:
        files = {"file": picture()} if method == "POST" else None
        answer = client.request(method, f"{path}?masks=true", files=files)
        assert answer.status_code == 422
        assert answer.json()["error"] == "bad_request"
        assert "found the query parameter 'masks'" in answer.json()["message"]
        assert client.get("/?from=mail").status_code == 200


def test_without_a_key_a_query_is_not_looked_at() -> None:
    key = Key(name="desk", sha256="0" * 64)
    with serving(Held(), keys=(key,)) as client:
        assert client.get("/v1/models?a=b").status_code == 401
