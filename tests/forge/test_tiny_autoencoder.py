"""Tiny autoencoders of latents: any size of picture, and folders that cannot be used."""

import json
from pathlib import Path

import numpy as np
import pytest

from sida.errors import CheckpointError
from sida.forge.codecs import load_codecs
from sida.forge.tiny_autoencoder import load_tiny_codec

from .codec_folders import write_tiny_autoencoder
from .conftest import photo


def test_pictures_of_any_size_go_through_latents_and_back(tmp_path: Path) -> None:
    codec = load_tiny_codec(write_tiny_autoencoder(tmp_path / "tiny"))
    picture = photo(0)[:61, :83]
    latents = codec.encode(picture)
    assert latents.shape == (4, 8, 11)
    decoded = codec.decode(latents, 61, 83)
    assert decoded.shape == picture.shape
    assert decoded.dtype == np.uint8
    # Latents beyond three are clamped softly: no value makes the decoder run away.
    np.testing.assert_array_equal(
        codec.decode(np.full_like(latents, 1e3), 61, 83),
        codec.decode(np.full_like(latents, 1e4), 61, 83),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"latent": 8}, "size mismatch"), ({"normed": False}, "Unexpected key"), ({}, "latent")],
)
def test_a_folder_that_cannot_be_used(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = write_tiny_autoencoder(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    config = config | changes if changes else {"architecture": config["architecture"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"cannot be used: .*{message}.*convert_taesd"):
        load_codecs(tmp_path)
