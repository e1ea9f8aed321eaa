"""The table of image formats, and that what reads, writes and accepts them follows it."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.serve
from sida.formats import FORMATS, PAGE_ACCEPTS, PICTURE_SUFFIXES, ImageFormat, suffix_of
from sida.image.perturbation import encode
from sida.image.read import read_picture

WRITTEN = [format for format in FORMATS if format.decoder == "pillow"]


@pytest.mark.parametrize("format", WRITTEN, ids=lambda format: format.name)
def test_a_format_of_the_table_is_read(format: ImageFormat) -> None:
    Image.init()
    if format.name not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format.name}")
    picture = read_picture(encode(np.zeros((8, 8, 3), np.uint8), format.name))
    assert picture.format == format.name


@pytest.mark.parametrize("format", WRITTEN, ids=lambda format: format.name)
def test_suffixes_are_those_that_pillow_knows(format: ImageFormat) -> None:
    expected = {
        suffix for suffix, name in Image.registered_extensions().items() if name == format.name
    }
    assert set(format.suffixes) <= expected


def test_files_are_written_with_the_first_suffix() -> None:
    assert [suffix_of(name) for name in ("JPEG", "MPO", "TIFF", "HEIF", "WEBP")] == [
        ".jpg", ".jpg", ".tif", ".heic", ".webp",
    ]  # fmt: skip
    assert suffix_of("FITS") == ".fits"


def test_suffixes_are_in_small_letters() -> None:
    assert all(re.fullmatch(r"\.[a-z]+", suffix) for suffix in PICTURE_SUFFIXES)


def test_the_page_accepts_what_the_table_says() -> None:
    assert sida.serve.__file__ is not None
    page = (Path(sida.serve.__file__).parent / "web" / "index.html").read_text(encoding="utf-8")
    accept = re.search(r'id="files"[^>]* accept="([^"]*)"', page)
    assert accept is not None
    assert set(accept[1].split(",")) == PAGE_ACCEPTS
