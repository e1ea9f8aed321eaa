"""Synthetic pictures: reconstructions, and pictures to texts at the wanted size."""

import numpy as np
import pytest

from sida.forge.synthesize import from_text, prompt_for, reconstruct

from .conftest import MeanCodec, Pixels, photo


class Square:
    """Makes squares of 200 pixels, or what is wanted where that is more."""

    name = "square"

    def __call__(self, prompt: str, height: int, width: int, seed: int) -> Pixels:
        return photo(seed % 100, max(200, height), max(200, width))


def test_a_reconstruction_is_the_photograph_through_the_codec() -> None:
    synthetic = reconstruct(photo(0), MeanCodec())
    assert synthetic.pixels.shape == photo(0).shape
    assert np.abs(synthetic.pixels.astype(int) - photo(0)).mean() < 15
    assert synthetic.operation == "reconstruct"
    assert synthetic.parameters == {"autoencoder": "mean", "detailed": False}


def test_a_reconstruction_may_be_as_detailed_as_the_photograph() -> None:
    plain, detailed = (reconstruct(photo(0), MeanCodec(), detail) for detail in (False, True))
    assert detailed.pixels.std() > plain.pixels.std()
    assert detailed.parameters["detailed"]


@pytest.mark.parametrize("size", [(64, 96), (200, 200), (150, 230)])
def test_a_picture_to_a_text_has_the_wanted_size(size: tuple[int, int]) -> None:
    synthetic = from_text(Square(), "a dog", *size, np.random.default_rng(0))
    assert synthetic.pixels.shape == (*size, 3)
    assert synthetic.parameters["prompt"] == "a dog"
    again = from_text(Square(), "a dog", *size, np.random.default_rng(0))
    assert np.array_equal(synthetic.pixels, again.pixels)


def test_prompts() -> None:
    rng = np.random.default_rng(0)
    assert prompt_for("its own", ["other"], rng) == "its own"
    assert prompt_for(None, ["other"], rng) == "other"
    assert len({prompt_for(None, (), rng) for _ in range(100)}) > 40
