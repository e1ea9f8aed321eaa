"""The command `sida` as a process of its own: streams, pipes, signals, completion."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import sida

SIDA = str(Path(sys.executable).with_name("sida"))

FAKE = """
import sys, types, time
sys.path.insert(0, {tests!r})
from conftest import FakeDetector
module = types.ModuleType("sida.detector")
module.Detector = FakeDetector()
module.Detector.before = lambda request: time.sleep({pause})
sys.modules["sida.detector"] = module
from sida.cli import main
main()
"""


def run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SIDA, *arguments], capture_output=True, text=True, timeout=60, **options)


def fake(*arguments: str, pause: float = 0) -> list[str]:
    """A command line whose detector needs no model."""
    code = FAKE.format(tests=str(Path(__file__).parent), pause=pause)
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(40):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_version_and_help() -> None:
    assert run("--version").stdout == f"sida {sida.__version__}\n"
    output = run("--help")
    assert output.returncode == 0
    for verb in ("detect", "models", "convert", "train"):
        assert f"\n  {verb} " in output.stdout
    assert "..." not in output.stdout.partition("Commands:")[2]  # no summary is cut off
    assert "..." not in run("data", "--help").stdout.partition("Commands:")[2]


@pytest.mark.parametrize("verb", ["detect", "serve", "models", "convert", "train"])
def test_each_help_has_an_example(verb: str) -> None:
    output = run(verb, "--help").stdout
    assert "Example" in output
    assert f"\n    sida {verb}" in output
    assert "--debug" in output


def test_help_offers_no_quantization_that_would_be_refused() -> None:
    output = " ".join(run("detect", "--help").stdout.split())
    assert "--quantize METHOD Quantize the language model: int8, int4 or fp8." in output


def test_without_a_verb_the_help_is_shown() -> None:
    result = run()
    assert "Usage: sida" in result.stdout + result.stderr
    assert result.returncode == 2


def test_an_unknown_verb_is_status_2_with_a_hint() -> None:
    result = run("detct", "x.jpg")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "No such command 'detct'" in result.stderr
    assert "detect" in result.stderr


def test_completion_knows_the_verbs() -> None:
    environment = {**os.environ, "_SIDA_COMPLETE": "complete_bash", "COMP_WORDS": "sida de"}
    result = run(env={**environment, "COMP_CWORD": "1"})
    assert result.stdout.split() == ["detect"]
    # Typer looks for the shell among the processes above it, where a test may have none.
    named = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_SIDA_COMPLETE" in run("--show-completion", "bash", env=named).stdout


def test_a_pipe_that_is_closed_is_no_traceback(folder: Path) -> None:
    for extra in (["--json", "-"], []):
        with subprocess.Popen(
            fake("detect", str(folder), *extra, pause=0.01),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 141


def test_an_interrupt_is_one_sentence(folder: Path) -> None:
    with subprocess.Popen(
        fake("detect", str(folder), "--json", "-", pause=0.1),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test run in the background hands down that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"schema":"sida.verdict/1"')
        process.send_signal(2)
        assert process.stderr.read().startswith(b"Stopped after ")
        assert process.wait() == 130


def test_standard_output_that_cannot_be_written_is_status_1(folder: Path) -> None:
    """Not 2: pictures were judged by then."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    for extra in (["--json", "-"], []):
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                fake("detect", str(folder), *extra), stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert result.returncode == 1
        assert result.stderr.startswith("Error: reading or writing failed: No space left")
        assert "Traceback" not in result.stderr


def test_an_interrupted_file_is_gone_on_with(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.jsonl"
    command = ("detect", str(folder), "--json", str(file))
    with subprocess.Popen(
        fake(*command, pause=0.05),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        wait_for_lines(file, 10)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        assert process.wait() == 130
    assert errors.startswith("Stopped after ")
    assert errors.endswith(f"they are in {file}; run the same command to resume.\n")
    check_whole(file, command)


def test_a_killed_run_is_gone_on_with(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.jsonl"
    command = ("detect", str(folder), "--json", str(file))
    with subprocess.Popen(fake(*command, pause=1)) as process:
        wait_for_lines(file, 2)
        beside = subprocess.run(fake(*command), capture_output=True, text=True)
        assert beside.returncode == 2
        assert "is being written by another run" in beside.stderr
        process.kill()
    check_whole(file, command)


@pytest.mark.parametrize("limit", [1_000, 5_000])
def test_a_full_disk_leaves_whole_lines(folder: Path, tmp_path: Path, limit: int) -> None:
    """A limit for files stands in for the disk: writing takes a part, then none."""
    resource = pytest.importorskip("resource")
    file = tmp_path / "v.jsonl"
    command = ("detect", str(folder), "--json", str(file))
    full = subprocess.run(
        fake(*command),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    if limit > 1_000:
        assert full.returncode == 1
        assert "cannot be written: File too large. " in full.stderr
        assert "of 40 pictures are in " in full.stderr
        assert full.stderr.endswith("; run the same command to resume.\n")
    assert "Traceback" not in full.stderr
    check_whole(file, command)


def wait_for_lines(file: Path, count: int) -> None:
    until = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        assert time.monotonic() < until
        time.sleep(0.01)


def check_whole(file: Path, command: tuple[str, ...]) -> None:
    """The lines so far are whole, and the same command makes it one for each picture."""
    before = file.read_bytes() if file.exists() else b""
    assert not before or before.endswith(b"\n") or before.count(b"\n") >= 2
    lines = before[: before.rfind(b"\n") + 1]
    assert lines.count(b"\n") < 40
    again = subprocess.run(fake(*command), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert file.read_bytes().startswith(lines)
    images = [json.loads(line)["image"] for line in file.read_text().splitlines()]
    assert len(images) == len(set(images)) == 40
    assert not file.with_name("v.jsonl.unfinished").exists()
