"""The figures of a small model: their form, and that they are counted and not made up."""

import json

import pytest
import torch
from torch import nn

import sida.benchmark as module
from sida.benchmark import _attended, _bytes, benchmark, machine, matrix_rate
from tests.small import small_detector


@pytest.fixture(scope="module")
def found():
    done = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.MATRIX, "cpu", 256)
        patch.setattr(module, "HEIGHT", 96)
        patch.setattr(module, "WIDTH", 128)
        detector = small_detector(batch_size=2)
        figures = benchmark(detector, 0.0, lambda at, of: done.append((at, of)))
    assert done[-1][0] == done[-1][1] == len(done) - 1
    return figures


def test_the_form_is_the_contracts(found):
    assert found["schema"] == "sida.benchmark/1"
    assert found["rates"].keys() == found["matrix_rate_share"].keys()
    assert list(found["rates"]) == ["verdict", "verdict_and_mask"]
    assert found["latency_ms"]["p50"] <= found["latency_ms"]["p95"]
    assert found["batch_size"] == 2
    assert found["peak_memory_bytes"] > 10**7
    assert min(found["stages_ms"].values()) >= 0
    assert json.loads(json.dumps(found)) == found


def test_a_mask_costs_operations_and_shares_follow_from_rates(found):
    operations, rates = found["flops_per_image"], found["rates"]
    assert operations["verdict_and_mask"] > operations["verdict"] > 10**6
    for name, share in found["matrix_rate_share"].items():
        assert share == pytest.approx(
            rates[name] * operations[name] / found["matrix_rate"], abs=1e-3, rel=1e-2
        )


def test_attention_and_weights_are_counted():
    assert _attended((2, 3, 5, 7), (2, 3, 11, 7)) == 4 * 2 * 3 * 5 * 7 * 11
    assert _bytes(nn.Linear(3, 4)) == 4 * (12 + 4)


def test_the_machine_is_described():
    told = machine(torch.device("cpu"))
    assert told["threads"] == torch.get_num_threads()
    assert told["torch"] == torch.__version__
    assert matrix_rate(torch.device("cpu"), torch.float32) > 10**8
