"""Names of devices and number types, and which errors are a lack of memory."""

import pytest
import torch

from sida.errors import DeviceError
from sida.inference.device import out_of_memory, resolve


@pytest.fixture
def cards(monkeypatch):
    """Pretend that this machine has so many CUDA devices."""

    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


@pytest.mark.parametrize(
    ("count", "device", "dtype", "result"),
    [
        (0, "auto", "auto", ("cpu", torch.float32)),
        (0, "cpu", "bfloat16", ("cpu", torch.bfloat16)),
        (2, "auto", "auto", ("cuda", torch.bfloat16)),
        (2, "cuda:1", "float16", ("cuda:1", torch.float16)),
        (2, "cpu", "auto", ("cpu", torch.float32)),
    ],
)
def test_names_as_users_write_them(cards, count, device, dtype, result):
    cards(count)
    assert resolve(device, dtype) == (torch.device(result[0]), result[1])


@pytest.mark.parametrize(
    ("count", "device", "choices"),
    [(0, "cuda", "auto, cpu."), (1, "cuda:1", "auto, cpu, cuda, cuda:0."), (0, "", "auto, cpu.")],
)
def test_a_device_that_is_not_here_is_refused_with_those_that_are(cards, count, device, choices):
    cards(count)
    with pytest.raises(DeviceError, match=f"no device '{device}' on this machine: .*{choices}$"):
        resolve(device, "auto")


def test_an_unknown_number_type_is_refused():
    with pytest.raises(DeviceError, match="no dtype 'half': choose auto, float32, bfloat16"):
        resolve("cpu", "half")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("no room"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 79 GiB in all)"),
        RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: not enough memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_a_lack_of_memory_is_known_by_type_or_words(error):
    assert out_of_memory(error)


def test_torch_says_it_like_this_on_the_cpu():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.float32)
    assert out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes cannot be multiplied (2x3 and 4x5)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        ValueError("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not out_of_memory(error)
