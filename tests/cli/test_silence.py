"""No library's lines on the terminal, in whichever way they are written, but with --debug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

NOISY = """
import logging, os, sys, warnings
sys.path.insert(0, {tests!r})
import types
from conftest import FakeDetector

def noise(request):
    logging.getLogger("torchao").warning("NOISE of logging")
    own = logging.getLogger("torch.noisy")
    own.addHandler(logging.StreamHandler())
    own.setLevel(logging.DEBUG)
    own.propagate = False
    own.info("NOISE of a handler")
    logging.warning("NOISE of the root")
    logging.basicConfig()
    logging.error("NOISE of the root again")
    warnings.simplefilter("default")
    warnings.warn("NOISE of a warning")
    print("NOISE of print", file=sys.stderr)
    os.write(2, b"NOISE of native code")
    os.system("echo NOISE of a process >&2")
    from tqdm import tqdm
    list(tqdm(range(3), desc="NOISE of a bar"))
    logging.getLogger("sida.noisy").warning("ours")
    if {fails}:
        raise MemoryError

module = types.ModuleType("sida.detector")
module.Detector = FakeDetector()
module.Detector.before = noise
sys.modules["sida.detector"] = module
from sida.cli import main
main()
"""


def run(*arguments: str, fails: bool = False) -> "subprocess.CompletedProcess[str]":
    contract = Path(__file__).parents[1] / "contract"
    code = NOISY.format(tests=str(contract), fails=fails)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_only_our_own_lines_are_on_standard_error(picture: str) -> None:
    result = run("detect", picture)
    assert result.returncode == 0
    assert result.stderr == "ours\n"
    assert "NOISE" not in result.stdout


def test_an_error_is_its_one_sentence(picture: str) -> None:
    result = run("detect", picture, fails=True)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line != "ours"]
    assert len(lines) == 1
    assert lines[0].startswith("Error: there is not enough memory")


def test_debug_lets_everything_through(picture: str) -> None:
    result = run("detect", picture, "--debug", fails=True)
    ways = ("logging", "a handler", "the root", "a warning", "print", "native code", "a process")
    for way in ways:
        assert f"NOISE of {way}" in result.stderr, way
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_a_usage_error_is_still_shown(picture: str) -> None:
    result = run("detect", picture, "--nonsense")
    assert result.returncode == 2
    assert "No such option: --nonsense" in result.stderr


def test_standard_error_is_as_it_was_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    from sida.cli.silence import error_stream, quiet

    before = sys.stderr
    with quiet():
        print("NOISE", file=sys.stderr)
        print("ours", file=error_stream())
    assert sys.stderr is before
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "ours\nafterwards"
