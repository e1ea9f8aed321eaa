"""Engines of both kinds of networks, small and with random weights, and pictures for them."""

import numpy as np
import pytest
import torch

from sida.assets import TOKENIZER
from sida.image.read import Picture
from sida.inference.engine import Engine
from sida.model import Sida, SidaProcessor
from sida.model.tokenizer import Tokenizer
from tests.model.conftest import small_published, spread
from tests.small import small_config


def small_engine(kind: str) -> Engine:
    """The published structure, or the native one; the same weights at every call."""
    tokenizer = Tokenizer.load(TOKENIZER)
    config = {"published": small_published, "native": small_config}[kind]()
    config.language.vocab_size = len(tokenizer)
    torch.manual_seed(0)
    return Engine(spread(Sida(config)), SidaProcessor(config, tokenizer))


@pytest.fixture(params=["published", "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return small_engine(request.param)


@pytest.fixture
def native() -> Engine:
    return small_engine("native")


@pytest.fixture
def pictures() -> list[Picture]:
    """Four, of different sizes and contents."""
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (100, 90), (3, 5), (130, 20)]
    return [Picture(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
