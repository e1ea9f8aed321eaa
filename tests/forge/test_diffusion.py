"""Pipelines of diffusers, each tiny and random, of the classes that the recipes name."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from sida.errors import CheckpointError, ConfigError
from sida.forge import forge
from sida.forge.config import Autoencoder, Pipeline, read_config
from sida.forge.diffusion import DiffusionPainter, PretrainedCodec, TextToImage

from . import tiny_models
from .conftest import photo

PHOTO = photo(0, 96, 112)
MASK = np.zeros((96, 112), bool)
MASK[20:70, 30:80] = True


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("diffusers")
    root = tmp_path_factory.mktemp("pipelines")
    return {
        "sd": tiny_models.stable_diffusion(root / "sd"),
        "sd_inpaint": tiny_models.stable_diffusion(root / "sd_inpaint", inpainting=True),
        "flux": tiny_models.flux(root / "flux"),
        "flux_fill": tiny_models.flux(root / "flux_fill", inpainting=True),
    }


@pytest.mark.parametrize("name", ["sd", "flux"])
def test_a_picture_to_a_text(models: dict[str, Path], name: str) -> None:
    generator = TextToImage(Pipeline(name=str(models[name]), steps=2), "cpu")
    picture = generator("a dog", 70, 90, 3)
    assert picture.shape == (80, 96, 3)  # rounded up to multiples of 16
    assert np.array_equal(picture, generator("a dog", 70, 90, 3))
    assert not np.array_equal(picture, generator("a dog", 70, 90, 4))
    assert not np.array_equal(picture, generator("a cat", 70, 90, 3))


def test_a_generator_may_work_at_its_own_scale(models: dict[str, Path]) -> None:
    generator = TextToImage(Pipeline(name=str(models["sd"]), steps=1, side=96), "cpu")
    assert generator("a dog", 64, 128, 0).shape == (96, 192, 3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sd", {"strength": 1.0}),  # no inpainting model, but its class can be used as one
        ("sd_inpaint", {}),
        ("sd_inpaint", {"side": 64}),
        ("flux_fill", {}),
    ],
)
def test_painting_gives_the_picture_at_its_size(
    models: dict[str, Path], name: str, options: dict[str, float]
) -> None:
    painter = DiffusionPainter(Pipeline(name=str(models[name]), steps=2, **options), "cpu")
    picture = painter(PHOTO, MASK, "a cat", 1)
    assert picture.shape == PHOTO.shape
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, painter(PHOTO, MASK, "a cat", 1))
    assert not np.array_equal(picture, painter(PHOTO, MASK, "a cat", 2))


def test_a_pretrained_autoencoder(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    tiny_models.autoencoder_kl().save_pretrained(tmp_path)  # type: ignore[attr-defined]
    codec = PretrainedCodec(Autoencoder(name="kl", pretrained=str(tmp_path)), "cpu")
    latents = codec.encode(PHOTO[:81, :83])
    assert (codec.name, codec.factor, latents.shape) == ("kl", 2, (4, 41, 42))
    assert codec.decode(latents, 81, 83).shape == (81, 83, 3)


def test_what_is_no_pipeline_is_told(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be loaded .*give a folder that diffusers"):
        TextToImage(Pipeline(name=str(tmp_path)), "cpu")
    wrong = Pipeline(name=str(models["sd"]), steps=1, call={"flavour": "sweet"})
    with pytest.raises(ConfigError, match="StableDiffusionPipeline, which takes no flavour"):
        TextToImage(wrong, "cpu")("a dog", 64, 64, 0)


@pytest.mark.parametrize(
    ("recipe", "inpainting", "text_to_image"),
    [("stable_diffusion", "sd_inpaint", "sd"), ("flux", "flux_fill", "flux")],
)
def test_a_recipe_with_its_pipelines(
    models: dict[str, Path],
    photographs: Path,
    tmp_path: Path,
    recipe: str,
    inpainting: str,
    text_to_image: str,
) -> None:
    packaged = read_config(recipe)
    autoencoder = Autoencoder(name="x", width=8, steps=1)

    def tiny(pipelines: tuple[Pipeline, ...], name: str) -> tuple[Pipeline, ...]:
        small = {"name": str(models[name]), "steps": 2, "side": None, "dtype": "float32"}
        return tuple(pipeline.model_copy(update=small) for pipeline in pipelines)

    changes = {
        "photographs": photographs,
        "count": 24,
        "device": "cpu",
        "storage": packaged.storage.model_copy(update={"sides": (64, 80)}),
        "inpainting": tiny(packaged.inpainting, inpainting),
        "text_to_image": tiny(packaged.text_to_image, text_to_image),
        "autoencoders": (autoencoder,),
    }
    result = forge(packaged.model_copy(update=changes), tmp_path / "set")
    assert result.counts == {"real": 8, "full_synthetic": 8, "tampered": 8}
    assert result.operations["text_to_image"] >= 2
    assert result.operations["inpaint_paste"] >= 2
    assert result.operations["inpaint_whole"] >= 2
    rows = parquet.read_table(result.out / "manifest.parquet").to_pylist()
    used = {row["generator"] for row in rows if row["operation"] == "text_to_image"}
    assert used == {str(models[text_to_image])}
