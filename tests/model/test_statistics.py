"""Measurements of noise and spectrum: what they tell apart, and what they do not depend on."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from sida.model.statistics import LAGS, Statistics, measure


def noise(*size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 128 + 20 * torch.randn(*size, generator=generator)


def test_every_number_is_there_and_finite():
    for pixels in (
        noise(2, 3, 64, 48),
        torch.zeros(1, 3, 24, 24),
        torch.full((1, 3, 30, 99), 255.0),
    ):
        measured = measure(pixels)
        assert measured.shape == (len(pixels), Statistics.count)
        assert measured.isfinite().all()


def test_nearest_neighbour_upsampling_shows_as_a_grid_of_two():
    luma_phases = slice(27 + len(LAGS), 27 + len(LAGS) + 5)
    plain = measure(noise(1, 3, 64, 64))
    doubled = measure(F.interpolate(noise(1, 3, 32, 32), scale_factor=2.0, mode="nearest"))
    # After the second difference every phase is alike, but neighbours go together.
    neighbours = slice(27, 27 + len(LAGS))
    assert (doubled - plain)[0, neighbours].abs().max() > 0.2
    one_phase = noise(1, 3, 64, 64)
    one_phase[..., ::2, ::2] = 128
    assert (
        measure(one_phase)[0, luma_phases].abs().max()
        > measure(noise(1, 3, 64, 64))[0, luma_phases].abs().max() + 0.2
    )


def test_grey_noise_goes_together_between_colours_and_coloured_does_not():
    pairs = slice(9, 18)
    grey = measure(noise(1, 1, 64, 64).expand(1, 3, 64, 64).contiguous())
    assert (grey[0, pairs] > 0.99).all()
    assert measure(noise(1, 3, 64, 64))[0, pairs].abs().max() < 0.2


@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_padding_has_no_say(height, width):
    pixels = torch.rand(1, 3, 48, 48) * 2 - 1
    valid = torch.tensor([[height, width]])
    changed = pixels.clone()
    changed[:, :, height:], changed[:, :, :, width:] = 0.7, -0.3
    torch.testing.assert_close(
        Statistics.measured(changed, valid), Statistics.measured(pixels, valid)
    )


def test_a_picture_is_the_mean_of_its_windows_on_fitted_scales():
    pixels = torch.rand(5, 3, 32, 32) * 2 - 1
    valid = torch.full((5, 2), 32)
    statistics = Statistics()
    measured = statistics.measured(pixels, valid)
    statistics.fit(measured)
    apart = statistics(pixels, valid, torch.arange(5))
    torch.testing.assert_close(apart.mean(0), torch.zeros(Statistics.count), atol=1e-3, rtol=0)
    joined = statistics(pixels, valid, torch.tensor([0, 0, 0, 0, 0]))
    torch.testing.assert_close(joined[0], apart.mean(0), atol=1e-3, rtol=0)
    assert apart.abs().max() <= 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_changes_the_input_alone(dtype):
    pixels = (torch.rand(2, 3, 32, 32) * 2 - 1).to(dtype)
    valid = torch.full((2, 2), 32)
    batch = Statistics.measured(pixels.float(), valid)
    assert Statistics.measured(pixels, valid).equal(batch)
