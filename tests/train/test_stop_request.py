"""A signal ends a run after its step, with a checkpoint to go on from."""

import os
import signal

import pytest

from sida.train import train
from tests.train.test_loop import FAST, lines


@pytest.mark.parametrize(
    ("number", "ends_with"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_writes_a_checkpoint_first(labelled, tmp_path, number, ends_with):
    def send(step, *_):
        if step == 1:
            os.kill(os.getpid(), number)

    settings = [*FAST, f"data={labelled}"]
    with pytest.raises(ends_with):
        train("tiny", tmp_path / "run", overrides=settings, on_step=send)
    assert [f.name for f in (tmp_path / "run/checkpoints").iterdir()] == ["step-1"]
    train("tiny", tmp_path / "run", overrides=settings)
    assert [line["step"] for line in lines(tmp_path / "run")] == [1, 2, 3, 4]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
