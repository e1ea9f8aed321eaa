"""How a command loads its detector."""

import gc

import pytest

from sida.cli import loading
from sida.detector import Detector
from sida.errors import CheckpointError
from sida.options import ModelOptions


def test_what_is_loaded_is_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled: list[bool] = []
    from_options = Detector.from_options

    def spy(options: ModelOptions) -> Detector:
        enabled.append(gc.isenabled())
        return from_options(options)

    monkeypatch.setattr(Detector, "from_options", spy)
    try:
        detector = loading.load(ModelOptions("tiny", device="cpu"))
        assert enabled == [False]
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert not any(item is detector for item in gc.get_objects())
    finally:
        gc.unfreeze()


def test_garbage_is_collected_after_a_failure() -> None:
    try:
        with pytest.raises(CheckpointError, match="no model 'absent'"):
            loading.load(ModelOptions("absent", device="cpu"))
        assert gc.isenabled()
    finally:
        gc.unfreeze()
