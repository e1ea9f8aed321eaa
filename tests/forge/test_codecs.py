"""The codecs of a folder: autoencoders of both sorts and networks that enlarge, side by side."""

from pathlib import Path

import pytest

from sida.errors import CheckpointError
from sida.forge.codecs import load_codecs

from .codec_folders import write_autoencoder, write_enlarger, write_tiny_autoencoder
from .conftest import photo


def test_a_folder_without_codecs(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no autoencoder in .*forge-autoencoder.*convert"):
        load_codecs(tmp_path)


def test_all_sorts_are_loaded_by_name(tmp_path: Path) -> None:
    write_autoencoder(tmp_path / "third", 8)
    write_enlarger(tmp_path / "second")
    write_autoencoder(tmp_path / "first", 4)
    write_tiny_autoencoder(tmp_path / "last")
    (tmp_path / "unfinished").mkdir()
    codecs = load_codecs(tmp_path)
    assert [(codec.name, codec.factor, codec.largest_side) for codec in codecs] == [
        ("first", 4, None), ("last", 8, 256), ("second_2", 2, 48), ("second_4", 4, 96),
        ("third", 8, None),
    ]  # fmt: skip
    assert [codec.takes_noise for codec in codecs] == [True, True, False, False, True]
    assert codecs[4].encode(photo(0)).shape[1:] == (16, 20)
    (tmp_path / "first" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"the autoencoder .* cannot be used"):
        load_codecs(tmp_path)
