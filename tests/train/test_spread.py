"""A run over two processes, each with all of the model or a part of it, is a run on one."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from accelerate import DistributedType

from sida import Detector
from sida.errors import ConfigError
from sida.train import devices, train
from sida.train.config import TrainConfig

# One picture at a time: in most steps a process ends with one that skips the mask decoder.
SETTINGS = (
    *(
        "batch_size=4",
        "micro_batch_size=1",
        "crops=[32]",
        "workers=0",
        "threads=1",
        "max_steps=4",
        "text_every=1",
    ),
    *("trackers=[]", "device=cpu", "average=0", "save_every=2"),
)


@pytest.fixture(scope="module")
def settings(labelled):
    return [
        *SETTINGS,
        f"data={labelled}",
        f"validation={labelled}",
        "validate_every=2",
        "best=accuracy",
    ]


@pytest.fixture(scope="module")
def alone(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    train("tiny", out, overrides=settings)
    return out


def curve(out):
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def looks(out):
    return [json.loads(line) for line in (out / "validation.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("program", ["sida", "tests.train.sharded"], ids=["ddp", "fsdp2"])
def test_two_processes_take_the_steps_of_one(program, alone, settings, labelled, tmp_path):
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc_per_node=2", "-m", program, "train", "tiny", *settings]
    run = subprocess.run(
        [*launcher, "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert len(curve(out)) == 4
    assert curve(out) == pytest.approx(curve(alone), abs=1e-3)
    for actual, expected in zip(looks(out), looks(alone), strict=True):
        assert actual == pytest.approx(expected, abs=1e-3)
    picture = labelled / "tampered/tampered0.png"
    actual, expected = (
        Detector.load(folder / "model").detect(picture).probabilities for folder in (out, alone)
    )
    assert actual.real == pytest.approx(expected.real, abs=1e-3)

    shutil.rmtree(out / "model")
    shutil.rmtree(out / "checkpoints/step-4")
    train("tiny", out, overrides=settings)  # one goes on where two began
    assert curve(out) == pytest.approx(curve(alone), abs=1e-3)


def test_what_needs_the_whole_model_on_every_device_is_refused_where_it_is_spread(tmp_path):
    averaged = TrainConfig(preset="tiny", average=0.9)
    with pytest.raises(ConfigError, match="average needs the whole model"):
        devices._require_supported(averaged, DistributedType.FSDP)
    devices._require_supported(averaged, DistributedType.MULTI_GPU)
    with pytest.raises(ConfigError, match="DeepSpeed is not supported: choose FSDP"):
        devices._require_supported(averaged, DistributedType.DEEPSPEED)
