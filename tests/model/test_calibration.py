"""A calibration is bound to its weights, and written whole or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sida.errors import CheckpointError, SidaError
from sida.model.calibration import Calibration, mask_limit

THREE = st.tuples(*[st.floats(-20, 20)] * 3)


@given(THREE, THREE, THREE)
def test_probabilities_sum_to_one_and_follow_the_scaled_logits(logits, scale, bias):
    probabilities = Calibration(scale=scale, bias=bias).probabilities(np.array(logits))
    assert probabilities.sum() == pytest.approx(1)
    scaled = np.array(logits) * scale + bias
    assert probabilities[scaled.argmax()] == probabilities.max()


def test_only_what_was_fitted_is_inconclusive():
    unsure = np.array([0.4, 0.3, 0.3])
    assert Calibration(unsure_below=(0.5,) * 3, digest="a").inconclusive(unsure)
    assert not Calibration(unsure_below=(0.4, 1, 1), digest="a").inconclusive(unsure)
    assert not Calibration(unsure_below=(0.5,) * 3).inconclusive(unsure)


def test_a_write_that_fails_leaves_the_old_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Calibration(bias=(1.0, 0.0, 0.0), digest="a")
    old.save(tmp_path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SidaError, match="cannot be written: disk full"):
        Calibration(bias=(2.0, 0.0, 0.0), digest="a").save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]
    assert Calibration.load(tmp_path, "a") == old


def test_it_counts_for_its_own_weights_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fitted = Calibration(scale=(2.0, 2.0, 2.0), mask_threshold=0.4, digest="a")
    fitted.save(tmp_path)
    assert Calibration.load(tmp_path, "a") == fitted
    assert not caplog.messages
    assert Calibration.load(tmp_path, "b") == Calibration()
    assert "was fitted to other weights" in caplog.text
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"calibration\.json is not a calibration"):
        Calibration.load(tmp_path, "a")


@given(
    logits=arrays(np.float32, (6, 8), elements=st.floats(-90, 90, width=32)),
    relative=st.floats(0.05, 0.95),
)
def test_a_relative_limit_lies_between_the_threshold_and_the_strongest_pixels(
    logits: np.ndarray, relative: float
) -> None:
    strongest = np.sort(logits, axis=None)[-3:].clip(-60, 60)  # a sixteenth of 48
    mean = float((1 / (1 + np.exp(-strongest.astype(np.float64)))).mean())
    limit = mask_limit(logits, 0.05, relative)
    assert 1 / (1 + np.exp(-limit)) == pytest.approx(max(0.05, relative * mean), rel=1e-3)
    assert mask_limit(logits, 0.05, 0) == pytest.approx(np.log(0.05 / 0.95))


def test_a_faint_region_is_marked_where_the_limit_is_relative() -> None:
    logits = np.full((8, 8), -6.0)
    logits[:2, :3] = -1.5
    fixed, relative = Calibration(), Calibration(mask_threshold=0.05, mask_relative=0.3)
    assert not (fixed.pixels(logits) > 0.5).any()
    assert ((relative.pixels(logits) > 0.5) == (logits > -2)).all()
    # A threshold is the least that counts: where nothing stands out, nothing is marked.
    assert not (relative.pixels(np.full((8, 8), -6.0)) > 0.5).any()
