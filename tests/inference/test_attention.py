"""SAM's encoder with our attention and with transformers': equal numbers, names, gradients."""

import copy

import pytest
import torch
from transformers import SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionEncoder

from sida.inference import attention
from sida.inference.attention import Attention, fuse


def encoder(image_size: int = 160) -> SamVisionEncoder:
    """Two layers, one with windows that do not fill the grid, one over all of it."""
    torch.manual_seed(0)
    config = SamVisionConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        mlp_dim=32,
        output_channels=16,
        image_size=image_size,
        window_size=7,
        global_attn_indexes=[1],
    )
    made = SamVisionEncoder(config).eval()
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return made


@pytest.mark.parametrize("queries", [1000, 20, 30, 70])
def test_equals_transformers_in_blocks_of_any_size(queries, monkeypatch):
    monkeypatch.setattr(attention, "QUERIES", queries)
    stock = encoder()
    ours = copy.deepcopy(stock)
    fuse(ours)
    assert all(isinstance(layer.attn, Attention) for layer in ours.layers)
    pixels = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        expected, result = stock(pixels), ours(pixels)
    torch.testing.assert_close(
        result.last_hidden_state, expected.last_hidden_state, rtol=0, atol=1e-4
    )


def test_the_relative_positions_matter():
    """Else the test above would pass without them."""
    fused = encoder()
    fuse(fused)
    pixels = torch.randn(1, 3, 160, 160)
    with torch.inference_mode():
        before = fused(pixels).last_hidden_state
        for layer in fused.layers:
            layer.attn.rel_pos_h.zero_()
        assert (fused(pixels).last_hidden_state - before).abs().max() > 0.01


def test_names_weights_and_gradients_stay():
    stock = encoder()
    ours = copy.deepcopy(stock)
    fuse(ours)
    fuse(ours)  # once more changes nothing
    assert list(ours.state_dict()) == list(stock.state_dict())
    pixels = torch.randn(1, 3, 160, 160)
    for item in (stock, ours):
        item(pixels).last_hidden_state.square().mean().backward()
    gradients = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name].grad, rtol=1e-3, atol=1e-5, msg=name
        )
