"""Compression history: qualities and grids that are known, and none where there was none."""

import numpy as np
import pytest
from PIL import Image

from sida.image.jpeg import JpegCoding
from sida.image.read import read_picture
from sida.provenance.measured.blocks import coefficients, jpeg_luma, luma_of
from sida.provenance.measured.compression_history import History, history
from sida.provenance.measured.jpeg_tables import table_family
from tests.pictures import encoded
from tests.provenance.made_files import photo

Pixels = np.ndarray


def scene(seed: int = 0) -> Pixels:
    return np.asarray(photo(seed, 320, 240))


def jpeg(pixels: Pixels, **options: object) -> bytes:
    return encoded(pixels, "JPEG", **options)


def png(pixels: Pixels) -> bytes:
    return encoded(pixels, "PNG")


def decoded(data: bytes) -> Pixels:
    return read_picture(data).pixels


def history_of(data: bytes) -> History:
    return history(data, read_picture(data))


@pytest.mark.parametrize(("first", "second"), [(55, 80), (70, 92), (85, 95)])
def test_an_earlier_quality_is_told(first: int, second: int) -> None:
    earlier = history_of(jpeg(decoded(jpeg(scene(), quality=first)), quality=second))
    assert earlier.quality is not None
    assert abs(earlier.quality - first) <= 1
    assert earlier.offset == (0, 0)


@pytest.mark.parametrize("quality", [60, 80, 95])
def test_a_picture_compressed_once_has_no_earlier_quality(quality: int) -> None:
    assert history_of(jpeg(scene(), quality=quality)) == History()


@pytest.mark.parametrize(("left", "top"), [(0, 0), (3, 0), (5, 6), (7, 7)])
def test_what_was_cut_off_is_told(left: int, top: int) -> None:
    part = decoded(jpeg(scene(1), quality=75))[top:, left:]
    assert history_of(png(part)) == History(75, (left, top))
    assert history(None, read_picture(part)) == History(75, (left, top))
    assert history_of(jpeg(part, quality=97)).offset == (left, top)


def test_a_picture_that_never_was_compressed_has_no_history() -> None:
    assert history_of(png(scene())) == History()


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (63, 400), (8, 8)])
def test_small_and_flat_pictures_have_no_history(size: tuple[int, int]) -> None:
    for pixels in (scene()[: size[0], : size[1]], np.full((*size, 3), 9, np.uint8)):
        assert history_of(png(pixels)).offset is None
        assert history_of(jpeg(pixels, quality=80)) == History()


def test_a_grey_a_progressive_and_a_cmyk_jpeg_are_read() -> None:
    twice = decoded(jpeg(scene(), quality=60))
    assert history_of(jpeg(twice[..., 0], quality=90)).quality is not None
    assert history_of(jpeg(twice, quality=90, progressive=True)).quality == 60
    cmyk = Image.fromarray(twice).convert("CMYK")
    assert history_of(encoded(cmyk, "JPEG", quality=90)) == History()


def test_coefficients_are_those_of_the_standard() -> None:
    data = jpeg(scene(), quality=50)
    luma = jpeg_luma(data)
    assert luma is not None
    picture = read_picture(data)
    assert np.abs(luma - luma_of(picture.pixels)).mean() < 1
    steps = np.array(picture.metadata["jpeg"].tables[0]).reshape(8, 8)
    quotients = coefficients(luma)[:, :3, :3] / steps[:3, :3]
    assert np.abs(quotients - np.rint(quotients)).mean() < 0.05


def coding(**options: object) -> JpegCoding:
    coding: JpegCoding = read_picture(jpeg(scene(), **options)).metadata["jpeg"]
    return coding


def test_tables_are_told_by_their_family() -> None:
    assert table_family(coding(quality=90)) == "libjpeg, quality 90"
    assert table_family(coding(quality="high")) == "Photoshop, high"
    assert table_family(coding(quality="web_very_high")) == "Photoshop, web very high"
    luma, chroma = (coding(quality=quality).tables for quality in (90, 70))
    assert table_family(coding(qtables=[luma[0], chroma[1]])) == (
        "libjpeg, quality 90 of luma and 70 of chroma"
    )
    group = [[min(255, step + 7) for step in table] for table in luma]
    assert table_family(coding(qtables=group)) == "a camera's or a program's own"
