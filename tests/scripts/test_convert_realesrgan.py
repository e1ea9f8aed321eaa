"""The reader of ncnn's files: weights in both formats, biases and slopes, in order."""

from types import ModuleType

import numpy as np
import pytest
import torch

from sida.forge.enlarger import ARCHITECTURES

COMPACT = """7767517
5 5
Input input 0 1 data
Convolution Conv_0 1 1 data 1 0=8 1=3 4=1 5=1 6=216
PReLU PRelu_1 1 1 1 2 0=8
Convolution Conv_2 1 1 2 3 0=8 1=3 4=1 5=1 6=576
PReLU PRelu_3 1 1 3 4 0=8
Convolution Conv_4 1 1 4 5 0=48 1=3 4=1 5=1 6=3456
PixelShuffle DepthToSpace_5 1 1 5 6 0=4
"""


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_tensors_come_back_in_order(script: ModuleType, dtype: type[np.generic]) -> None:
    network = ARCHITECTURES["compact"](8, 1)
    state = network.state_dict()
    content = b""
    for tensor in state.values():
        values = tensor.numpy().astype(dtype if tensor.ndim == 4 else np.float32)
        if tensor.ndim == 4:
            content += np.uint32(script.HALF if dtype is np.float16 else 0).tobytes()
        content += values.tobytes()
    tensors = script.read_tensors(COMPACT, content)
    assert [tensor.shape for tensor in tensors] == [tensor.shape for tensor in state.values()]
    for tensor, expected in zip(tensors, state.values(), strict=True):
        assert torch.allclose(tensor.float(), expected, atol=1e-3)
    with pytest.raises(SystemExit, match=r"The layers have \d+ bytes of weights, the file \d+"):
        script.read_tensors(COMPACT, content + bytes(4))


def test_another_file_is_refused(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"x\.bin in .* has SHA-256 .*: not converted"):
        script.checked(b"other", "x.bin", "0" * 64)
