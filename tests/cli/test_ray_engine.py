from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sida import scale
from sida.cli import app
from sida.errors import ConfigError
from sida.evaluation import Shard
from sida.forge import Forged
from sida.options import DetectOptions, ModelOptions
from sida.verdict import Failure


def sida(*arguments: str, verb: str = "detect") -> Result:
    return CliRunner().invoke(app, [verb, *arguments])


@pytest.fixture
def ray_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command line asks of `sida.scale.detect`, which finds one picture of each kind."""
    calls: list[dict[str, Any]] = []

    def detect(paths: Any, out: str, **options: Any) -> scale.DetectionSummary:
        calls.append({"paths": list(paths), "out": out, **options})
        return scale.DetectionSummary(out, {"real": 1, "tampered": 1}, failed=1)

    monkeypatch.setattr(scale, "detect", detect)
    return calls


def test_options_arrive_and_the_sum_is_said(ray_calls: list[dict[str, Any]]) -> None:
    result = sida("s3://b/in", "--engine", "ray", "--out", "s3://b/out", "--shard", "2/3")
    assert result.exit_code == 1
    assert result.stdout == ("s3://b/out: 3 pictures, 1 real, 0 full_synthetic, 1 tampered\n")
    assert result.stderr == "1 of 3 pictures could not be judged.\n"
    (call,) = ray_calls
    assert call["paths"] == ["s3://b/in"]
    assert (call["out"], call["selection"].shard) == ("s3://b/out", Shard(2, 3))
    assert (call["model"], call["options"]) == (ModelOptions("small"), DetectOptions())


def test_provenance_is_asked_for(ray_calls: list[dict[str, Any]]) -> None:
    sida("in", "--engine", "ray", "--out", "o", "--provenance")
    sida("in", "--engine", "ray", "--out", "o")
    assert [call["options"].provenance for call in ray_calls] == [True, False]


def test_a_label_that_is_watched(ray_calls: list[dict[str, Any]]) -> None:
    options = ("--engine", "ray", "--out", "o", "--fail-on")
    assert sida("in", *options, "tampered").exit_code == 10
    assert sida("in", *options, "full_synthetic").exit_code == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--engine", "ray"), "--engine ray needs --out DIR"),
        (("--engine", "ray", "--out", "o", "--json", "-"), "--json is not for --engine ray"),
        (("--engine", "ray", "--out", "o", "-"), "- is not for --engine ray"),
        (("--limit", "3"), "--limit needs --engine ray"),
        (("--out", "o"), "--out needs --engine ray"),
        (("--engine", "ray", "--out", "o", "--shard", "3/2"), "the shard is '3/2', expected I/N"),
    ],
)
def test_what_does_not_go_together(
    ray_calls: list[dict[str, Any]], options: tuple[str, ...], sentence: str
) -> None:
    result = sida("in", *options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())
    assert ray_calls == []


def test_an_error_is_a_sentence_and_status_2(
    monkeypatch: pytest.MonkeyPatch, elsewhere: Path
) -> None:
    def detect(*arguments: Any, **options: Any) -> None:
        raise ConfigError("'out' was begun as another run")

    monkeypatch.setattr(scale, "detect", detect)
    result = sida("in", "--engine", "ray", "--out", "out")
    assert result.exit_code == 2
    assert result.stderr == "Error: 'out' was begun as another run\n"


def test_an_evaluation_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def evaluate(data: list[str], out: Path, **options: Any) -> dict[str, Any]:
        calls.append({"data": data, "out": out, **options})
        return {}

    monkeypatch.setattr(scale, "evaluate", evaluate)
    far = ("--engine", "ray", "--address", "head:6379", "--workers", "3")
    result = sida("set", "--out", "o", "--resume", "--fresh", *far, verb="evaluate")
    assert result.exit_code == 0, result.output
    (call,) = calls
    assert (call["data"], call["model"], call["fresh"]) == (["set"], ModelOptions("small"), True)
    assert (call["address"], call["workers"]) == ("head:6379", 3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("set", "--workers", "2"), "--workers needs --engine ray"),
        (("--from", "file", "--engine", "ray"), "--engine makes predictions, and --from measures"),
    ],
)
def test_evaluations_that_cannot_be(
    elsewhere: Path, options: tuple[str, ...], sentence: str
) -> None:
    result = sida(*options, "--out", "o", verb="evaluate")
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_a_forged_set_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def forge(config: str, out: Path, overrides: list[str], *more: Any) -> Forged:
        calls.append((config, overrides, *more[1:]))
        return Forged(out, {"real": 1}, {})

    monkeypatch.setattr(scale, "forge", forge)
    far = ("--engine", "ray", "--address", "auto")
    result = sida("tiny", "count=3", "--out", str(tmp_path), *far, verb="forge")
    assert result.stdout == f"{tmp_path}: 1 pictures (1 real)\n"
    assert calls == [("tiny", ["count=3"], "auto", False)]
    refused = sida("tiny", "--out", "o", "--address", "auto", verb="forge")
    assert refused.exit_code == 2
    assert "--address needs --engine ray" in refused.stderr


def test_failures_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Failure(image="a\x1b.jpg", error="unreadable_image", message="it is torn")

    def detect(*_: Any, **__: Any) -> scale.DetectionSummary:
        return scale.DetectionSummary("o", {"real": 1}, failed=3, failures=(broken, broken))

    monkeypatch.setattr(scale, "detect", detect)
    result = sida("in", "--engine", "ray", "--out", "o")
    assert result.stderr.splitlines() == [
        *2 * ["a\\x1b.jpg: it is torn"],
        "... and 1 more; their rows have `message`.",
        "3 of 4 pictures could not be judged.",
    ]
