"""In float16 SAM's neck is worked out in float32, as in the published code."""

import copy

import pytest
import torch
from transformers.models.sam.modeling_sam import SamVisionNeck

from sida.model.neck import Neck
from tests.model.conftest import small_published


@pytest.fixture
def necks() -> tuple[Neck, SamVisionNeck]:
    """Ours and transformers', with the same weights."""
    torch.manual_seed(0)
    config = small_published().mask.encoder()
    ours, plain = Neck(config).eval(), SamVisionNeck(config).eval()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@torch.inference_mode()
def test_float16_is_rounded_once_at_the_end(necks):
    ours, plain = (neck.half() for neck in necks)
    hidden = torch.randn(2, 8, 8, 16).half()
    exact = copy.deepcopy(plain).float()(hidden.float())
    embedding = ours(hidden)
    assert embedding.dtype == torch.float16
    assert torch.equal(embedding, exact.half())
    assert not torch.equal(plain(hidden), exact.half())


@torch.inference_mode()
def test_what_leaves_the_range_of_float16_on_the_way_comes_back(necks):
    ours, plain = (neck.half() for neck in necks)
    hidden = torch.full((1, 8, 8, 16), 60_000.0).half()
    ours.conv1.weight.fill_(1.0)
    plain.load_state_dict(ours.state_dict())
    assert ours(hidden).isfinite().all()
    assert not plain(hidden).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_other_types_stay_as_they_are(necks, dtype):
    ours, plain = (neck.to(dtype) for neck in necks)
    hidden = torch.randn(2, 8, 8, 16).to(dtype)
    assert torch.equal(ours(hidden), plain(hidden))


def test_float16_has_the_gradients_of_float32(necks):
    ours, plain = necks[0].half(), necks[1].half().float()
    hidden = torch.randn(1, 8, 8, 16).half()
    ours(hidden).float().square().mean().backward()
    plain(hidden.float()).half().float().square().mean().backward()
    for name, weight in ours.named_parameters():
        expected = plain.get_parameter(name).grad.half()
        torch.testing.assert_close(weight.grad, expected, rtol=1e-2, atol=1e-4, msg=name)
