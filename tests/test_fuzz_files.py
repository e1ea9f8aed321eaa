"""The command that sends mutated files through the parsers."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[1] / "benchmarks" / "fuzz_files.py"


@pytest.mark.slow
def test_some_files_go_through_every_parser() -> None:
    process = subprocess.run(
        [sys.executable, str(COMMAND), "--count", "140", "--processes", "1", "--seed", "3"],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    lines = [line.split() for line in process.stdout.splitlines()]
    assert ["all", "140"] in lines
    assert ["credentials", "20"] in lines
    assert "crashes: 0, of 0 forms" in process.stdout
