"""What can be quantised where, and what it does to a small model where torchao is installed."""

import copy
import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sida.detector import Detector
from sida.errors import ConfigError, DeviceError
from sida.inference import quantize as module
from sida.inference.quantize import check, possible, quantize
from tests.inference.conftest import small_engine

CPU = torch.device("cpu")
torchao = pytest.mark.skipif(
    importlib.util.find_spec("torchao") is None, reason="needs torchao: pip install sida[quantize]"
)


@pytest.mark.parametrize("method", ["int4", "fp8"])
def test_what_does_not_run_here_is_refused_with_what_does(method):
    with pytest.raises(DeviceError, match=f"{method} does not run on cpu in float32.* int8"):
        Detector.load("tiny", device="cpu", quantize=method)


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="no quantization 'int3': choose int8, int4, fp8"):
        Detector.random("tiny", quantize="int3")


def test_a_missing_torchao_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(ConfigError, match=r"pip install 'sida\[quantize\]'"):
        check("int8", CPU, torch.float32)


@pytest.mark.parametrize(
    ("capability", "dtype", "methods"),
    [
        ((8, 0), torch.bfloat16, ["int8", "int4"]),
        ((9, 0), torch.bfloat16, ["int8", "int4", "fp8"]),
        ((9, 0), torch.float32, ["int8"]),
    ],
)
def test_cuda_devices_differ_in_what_they_can(monkeypatch, capability, dtype, methods):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert possible(torch.device("cuda"), dtype) == methods


def test_widths_that_no_group_divides_are_said(monkeypatch):
    monkeypatch.setattr(module, "_torchao", lambda: None)
    with pytest.raises(ConfigError, match=r"multiples of 32, found \[33\]: choose int8"):
        module._config("int4", torch.nn.Linear(33, 64))


def test_no_name_stands_for_another(monkeypatch):
    torchao = SimpleNamespace(Int4WeightOnlyConfig=lambda **_: "int4")
    monkeypatch.setattr(module, "_torchao", lambda: torchao)
    layer = torch.nn.Linear(64, 64)
    assert module._config("int4", layer) == "int4"
    with pytest.raises(ConfigError, match="no quantization 'int3'"):
        module._config("int3", layer)


@torchao
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("structure", ["published", "native"])
def test_int8_is_smaller_and_nearly_the_same(structure, pictures):
    engine = small_engine(structure)
    expected = engine.infer(pictures, [lambda _: True] * 4)
    encoder = copy.deepcopy(engine.model.encoder)
    quantize(engine.model, "int8", CPU)
    layer = engine.model.language.layers[0].self_attn.q_proj
    assert layer.weight.qdata.dtype == torch.int8
    for before, after in zip(encoder.parameters(), engine.model.encoder.parameters(), strict=True):
        assert torch.equal(before, after)
    del engine.__dict__["_prefix"]
    result = engine.infer(pictures, [lambda _: True] * 4)
    gaps = [
        np.abs(one.class_logits - other.class_logits).max()
        for one, other in zip(result, expected, strict=True)
    ]
    assert 0 < max(gaps) < 0.1


@torchao
@pytest.mark.filterwarnings("default")
def test_the_detector_says_that_it_is_quantised(pictures):
    detector = Detector.load("tiny", device="cpu", quantize="int8")
    assert detector.quantize == "int8"
    verdict = detector.detect(pictures[0].pixels, explain=True)
    assert verdict.explanation is not None
