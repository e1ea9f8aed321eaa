"""The native encoder's comparison with the whole picture, against its definition."""

import pytest
import torch
import torch.nn.functional as F

from sida.model.inputs import Inputs, Windows
from sida.model.native import Native
from sida.model.presets import tiny
from sida.model.residuals import Residuals

VALID = torch.tensor([[64, 64], [40, 64], [64, 52], [64, 64]])
OWNER = torch.tensor([0, 0, 0, 1])


def test_features_stand_beside_their_distance_from_the_picture_in_deviations() -> None:
    torch.manual_seed(0)
    native = Native(tiny())
    pixels = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        features = native._features(pixels, VALID)[1]
        state = native.tokens(Inputs(Windows(pixels, VALID, OWNER), None))[1]
        for window, picture in enumerate(OWNER.tolist()):
            indices = OWNER.eq(picture).nonzero()[:, 0].tolist()
            content = torch.cat([inside(features[i], VALID[i]).flatten(1) for i in indices], dim=1)
            mean, deviation = content.mean(1), (content.var(1, correction=0) + 1e-4).sqrt()
            here = inside(features[window], VALID[window])
            apart = (here - mean[:, None, None]) / deviation[:, None, None]
            expected = F.gelu(native.compare(torch.cat([here[: -Residuals.levels], apart])))
            compared = inside(state.compared[window], VALID[window])
            torch.testing.assert_close(compared, expected, atol=1e-5, rtol=1e-4)
            beyond = state.compared[window].sum() - compared.sum()
            assert abs(beyond) < 1e-3


def inside(maps: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The part of (channels, h / 4, w / 4) that has content."""
    height, width = ((valid + 3) // 4).tolist()
    return maps[:, :height, :width]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_near(dtype: torch.dtype) -> None:
    """Black on white, whose squares leave float16, beside a flat part."""
    torch.manual_seed(0)
    native = Native(tiny())
    pixels = torch.ones(4, 3, 64, 64)
    pixels[:, :, :32].bernoulli_(0.5).mul_(2).sub_(1)
    inputs = Inputs(Windows(pixels, VALID, OWNER), None)
    with torch.inference_mode():
        exact = native.tokens(inputs)[1].compared
        with torch.autocast("cpu", dtype):
            tokens, state = native.tokens(inputs)
    assert tokens.isfinite().all()
    assert (state.compared.float() - exact).square().mean().sqrt() < 0.1 * exact.std()
