import subprocess
import sys
from types import SimpleNamespace

import pytest

from sida.cli import loading
from sida.inference import malloc
from sida.options import ModelOptions


def test_the_c_library_is_told_to_keep_what_is_freed(monkeypatch):
    calls = []
    library = SimpleNamespace(
        mallopt=lambda *given: calls.append(given), malloc_trim=lambda kept: calls.append(kept)
    )
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(malloc.sys, "platform", "linux")
    malloc.keep_freed()
    malloc.trim()
    assert calls == [*malloc.THRESHOLDS.items(), 0]
    del library.mallopt, library.malloc_trim  # another C library
    malloc.keep_freed()
    malloc.trim()
    monkeypatch.setattr(malloc.sys, "platform", "win32")
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda _: pytest.fail("there is no such library"))
    malloc.keep_freed()
    malloc.trim()


LOAD = """
import ctypes, logging, os, warnings
import torch, transformers
import sida.detector
calls, library = [], ctypes.CDLL(None)
class Recorder:
    def __getattr__(self, name):
        calls.append(name)
        return getattr(library, name)
ctypes.CDLL = lambda _: Recorder()
def state():
    loggers = logging.root.manager.loggerDict.items()
    levels = {name: log.level for name, log in loggers if isinstance(log, logging.Logger)}
    numbers = torch.get_num_threads(), torch.get_default_dtype(), torch.initial_seed()
    return list(warnings.filters), dict(os.environ), levels, numbers
before = state()
sida.detector.Detector.load("tiny", device="cpu")
assert state() == before, (before, state())
assert calls == [], calls
"""


@pytest.mark.slow
def test_loading_a_detector_changes_nothing_in_the_process() -> None:
    command = [sys.executable, "-c", LOAD]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]


def test_a_command_keeps_what_it_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(malloc, "keep_freed", lambda: calls.append("kept"))
    loading.load(ModelOptions("tiny", device="cpu"))
    assert calls == ["kept"]
