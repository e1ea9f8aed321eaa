"""`sida benchmark`: a table for people, JSON for tools, refusals in one sentence."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sida.cli import app
from sida.options import ModelOptions

FIGURES = {
    "schema": "sida.benchmark/1",
    "machine": {"device": "cpu", "processor": "A processor", "threads": 2},
    "model": {
        "name": "tiny",
        "dtype": "float32",
        "encoder_dtype": "bfloat16",
        "quantize": "int8",
        "weights_bytes": 6 * 10**6,
    },
    "batch_size": 4,
    "picture": [1024, 768],
    "rates": {"verdict": 12.5, "verdict_and_mask": 3.25},
    "latency_ms": {"p50": 201.4, "p95": 250.0},
    "peak_memory_bytes": 8 * 10**8,
    "flops_per_image": {"verdict": 11 * 10**9, "verdict_and_mask": 13 * 10**9},
    "matrix_rate": 2e11,
    "matrix_rate_share": {"verdict": 0.6, "verdict_and_mask": 0.45},
    "stages_ms": {"read": 10.0, "text_token": 1.5},
}


@pytest.fixture
def run(monkeypatch):
    """The command with measured figures in place of a run."""
    asked = []
    monkeypatch.setattr("sida.cli.benchmark.load", lambda *options: asked.append(options))
    monkeypatch.setattr("sida.benchmark.benchmark", lambda *_: FIGURES)

    def call(*arguments: str):
        return CliRunner().invoke(app, ["benchmark", *arguments])

    call.asked = asked
    return call


def test_json_alone_goes_to_standard_output(run):
    result = run("--random-weights", "sizes.json", "--batch-size", "4", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == FIGURES
    assert run.asked == [(ModelOptions(random_weights="sizes.json", batch_size=4),)]


def test_json_with_a_file_is_written_there_beside_the_table(run, elsewhere: Path):
    result = run("--json", "out.json", "--dtype", "bfloat16")
    assert result.exit_code == 0
    assert json.loads(Path("out.json").read_text()) == FIGURES
    assert "12.50 a second: 11.0 GFLOP each, 60 % of the matrix rate" in result.stdout
    assert "201 ms (95 of 100 within 250 ms)" in result.stdout
    assert "float32 (encoder bfloat16) and int8, 6 MB" in result.stdout
    assert "Wrote out.json" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "a", "--random-weights", "b"], "exclude each other"),
        (["out.json"], "only written with --json"),
        (["--dtype", "int3"], "bfloat16"),
        (["--seconds", "-1"], "seconds"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, arguments, sentence):
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device", "tpu"], "There is no device 'tpu' on this machine: choose auto, cpu"),
        (["--quantize", "int4", "--device", "cpu"], "possible here: int8"),
        (["--random-weights", "sida-9b"], "sida-9b is not a file of sizes"),
    ],
)
def test_what_this_machine_cannot_do_is_one_sentence(arguments, sentence):
    result = CliRunner().invoke(app, ["benchmark", *arguments])
    assert result.exit_code == 2
    assert sentence in result.stderr
