"""What every test may ask for."""

import os
from pathlib import Path

import hypothesis
import pytest

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("sida", deadline=None)
hypothesis.settings.load_profile("sida")

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for the network fails, at once


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recorded numbers and pictures beside the checkout: $SIDA_SHARED, or ../shared.

    Not part of the repository; `.ci/run` fails if such a test was skipped where the folder exists.
    """
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SIDA_SHARED", beside))
    if not folder.is_dir():
        pytest.skip("needs the folder shared: set SIDA_SHARED, or put it beside the checkout")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
