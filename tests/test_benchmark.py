"""The figures of a small model: their form, and that they are counted and not made up."""

import json

import pytest
import torch
from torch import nn

import sida.benchmark as module
from sida.benchmark import _attended, _bytes, benchmark, machine, matrix_rate
from tests.small import small_detector


@pytest.fixture(scope="module")
def report():
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.MATRIX, "cpu", 256)
        patch.setattr(module, "HEIGHT", 96)
        patch.setattr(module, "WIDTH", 128)
        detector = small_detector(batch_size=2)
        figures = benchmark(detector, 0.0, lambda at, of: steps.append((at, of)))
    assert steps[-1][0] == steps[-1][1] == len(steps) - 1
    return figures


def test_the_form_is_the_contracts(report):
    assert report["schema"] == "sida.benchmark/1"
    assert report["rates"].keys() == report["matrix_rate_share"].keys()
    assert list(report["rates"]) == ["verdict", "verdict_and_mask"]
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p95"]
    assert report["batch_size"] == 2
    assert report["peak_memory_bytes"] > 10**7
    assert min(report["stages_ms"].values()) >= 0
    assert json.loads(json.dumps(report)) == report


def test_a_mask_costs_operations_and_shares_follow_from_rates(report):
    operations, rates = report["flops_per_image"], report["rates"]
    assert operations["verdict_and_mask"] > operations["verdict"] > 10**6
    for name, share in report["matrix_rate_share"].items():
        assert share == pytest.approx(
            rates[name] * operations[name] / report["matrix_rate"], abs=1e-3, rel=1e-2
        )


def test_attention_and_weights_are_counted():
    assert _attended((2, 3, 5, 7), (2, 3, 11, 7)) == 4 * 2 * 3 * 5 * 7 * 11
    assert _bytes(nn.Linear(3, 4)) == 4 * (12 + 4)


def test_the_machine_is_described():
    facts = machine(torch.device("cpu"))
    assert facts["threads"] == torch.get_num_threads()
    assert facts["torch"] == torch.__version__
    assert matrix_rate(torch.device("cpu"), torch.float32) > 10**8
