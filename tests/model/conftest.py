"""Small models of both kinds, with random weights."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sida.model import Sida, SidaConfig, SidaProcessor
from sida.model.presets import tiny
from sida.model.prompt import IMAGE_TOKEN
from sida.model.sida import SidaOutput


def small_published() -> SidaConfig:
    """The published structure at sizes that run in a blink."""
    return SidaConfig(
        vision={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "patch_size": 56,
            "image_size": 224,
        },
        language={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": 60,
        },
        mask={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "global_attn_indexes": [1],
            "window_size": 3,
            "image_size": 128,
            "output_channels": 32,
            "decoder_mlp_dim": 32,
            "iou_head_hidden_dim": 16,
        },
        out_dim=32,
    )


def small_native() -> SidaConfig:
    """`tiny` with windows that make several of a small picture."""
    config = tiny()
    config.vision.window, config.vision.overlap = 64, 16
    config.language.vocab_size = 60
    return config


@pytest.fixture(params=[small_published, small_native], ids=["published", "native"])
def config(request: pytest.FixtureRequest) -> SidaConfig:
    return request.param()


@pytest.fixture
def model(config: SidaConfig) -> Sida:
    torch.manual_seed(0)
    return spread(Sida(config)).eval()


def spread(model: Sida) -> Sida:
    """Random weights whose outputs differ from picture to picture."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


Run = Callable[..., SidaOutput]


@pytest.fixture
def run() -> Run:
    """Runs a model on some of four pictures of different sizes, with masks and text."""
    rng = np.random.default_rng(0)
    pictures = [
        rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        for size in [(90, 130), (20, 31), (64, 64), (1, 5)]
    ]

    def forward(model: Sida, indices: tuple[int, ...] = (0, 1, 2, 3), **options) -> SidaOutput:
        processor = SidaProcessor(model.config, None)  # type: ignore[arg-type]
        inputs, _ = processor([pictures[i] for i in indices])
        ids = torch.tensor([[1, 7, 8, IMAGE_TOKEN, *range(10, 30)]] * len(indices))
        end = ids.shape[1] + model.image_token_count - 2
        return model(
            **{
                "inputs": inputs.to(model.device, model.dtype),
                "input_ids": ids,
                "attention_mask": torch.ones_like(ids),
                "class_positions": torch.full((len(indices),), end - 8),
                "mask_positions": torch.full((len(indices),), end),
                "text": True,
                **options,
            }
        )

    return forward
