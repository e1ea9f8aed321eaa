"""The evidence head is fitted to its optimum, and sources weigh as they are told to."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sida.model.clip_windows import ClipWindows
from sida.train.evidence_head import LOCAL_PENALTY, fit_evidence, source_weights
from tests.model.test_clip_windows import little_config


def test_it_is_the_optimum_that_scikit_learn_finds() -> None:
    torch.manual_seed(0)
    encoder = ClipWindows(little_config())
    labels = torch.arange(90) % 3
    vectors = torch.randn(90, encoder.feature_count) + 0.3 * labels[:, None]
    weights = torch.full((90,), 1 / 90)
    fit_evidence(encoder, vectors, labels, weights, penalty=0.5)
    scaled = encoder.standardized(vectors)
    with torch.no_grad():
        ours = encoder.evidence(scaled)
    assert not ours[:, 0].any()
    # scikit-learn has one penalty for all: features are scaled by the root of their columns.
    roots = torch.full((encoder.feature_count,), LOCAL_PENALTY**0.5)
    roots[: encoder.whole_count] = 0.5**0.5
    for label in (1, 2):
        rows = (labels == 0) | (labels == label)
        columns = (scaled / roots)[:, encoder.evidence_columns(label)].numpy()
        reference = LogisticRegression(C=1 / 60, max_iter=5000, tol=1e-8)
        reference.fit(columns[rows], labels[rows].numpy())
        expected = torch.tensor(reference.decision_function(columns), dtype=ours.dtype)
        torch.testing.assert_close(ours[:, label], expected, atol=5e-3, rtol=0)


def test_a_head_held_in_bfloat16_is_fitted_in_float32() -> None:
    torch.manual_seed(0)
    encoder = ClipWindows(little_config())
    vectors = torch.randn(30, encoder.feature_count)
    arguments = (vectors, torch.arange(30) % 3, torch.full((30,), 1 / 30), 0.5)
    expected = fit_evidence(encoder, *arguments)
    encoder.evidence.to(torch.bfloat16)
    assert fit_evidence(encoder, *arguments) == pytest.approx(expected, rel=0.05)


def test_classes_weigh_alike_and_sources_by_their_root() -> None:
    labels = ["real"] * 5 + ["tampered"]
    sources = ["a"] * 4 + ["b", "a"]
    weights = source_weights(labels, sources, 0.5)
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[5]) == pytest.approx(0.5)
    assert float(weights[:4].sum()) == pytest.approx(2 * float(weights[4]))
