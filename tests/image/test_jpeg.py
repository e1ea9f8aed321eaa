"""Quantisation tables and what they tell."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sida.image.jpeg import (
    JpegCoding,
    estimate_quality,
    jpeg_coding,
    quality_tables,
    scan_count,
    subsampling,
)
from tests.pictures import KINDS, encoded, file_bytes, photo


def coding(data: bytes) -> JpegCoding:
    with Image.open(io.BytesIO(data)) as image:
        result = jpeg_coding(image)
    assert result is not None
    return result


@pytest.mark.parametrize("quality", range(1, 101))
def test_qualities_of_libjpeg_are_found_exactly(quality: int) -> None:
    result = coding(encoded(photo(8, 8), "JPEG", quality=quality))
    assert (result.quality, result.exact) == (quality, True)
    assert np.array_equal(result.tables, quality_tables(quality))


def test_a_grey_jpeg_has_one_table() -> None:
    result = coding(encoded(photo()[..., 0], "JPEG", quality=83))
    assert (len(result.tables), result.quality, result.exact) == (1, 83, True)
    assert result.subsampling is None


def test_a_table_by_hand() -> None:
    """Quality 50 is Annex K itself, 25 its double, held to 255 in baseline files."""
    luminance, chrominance = quality_tables(50)
    assert luminance[:8].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert chrominance[:8].tolist() == [17, 18, 24, 47, 99, 99, 99, 99]
    assert np.array_equal(quality_tables(25)[0], luminance * 2)
    assert quality_tables(10)[0].max() == 255
    assert quality_tables(10, baseline=False)[0].max() == 605
    assert set(quality_tables(100)[0].tolist()) == {1}


@settings(deadline=None)
@given(st.integers(30, 95), st.integers(0, 63))
def test_near_tables_get_the_nearest_quality(quality: int, index: int) -> None:
    tables = [table.tolist() for table in quality_tables(quality)]
    tables[0][index] += 1
    result, exact = estimate_quality(tables)
    assert not exact
    assert abs(result - quality) <= 1


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 65535), min_size=64, max_size=64), min_size=1, max_size=4))
def test_any_tables_get_a_quality(tables: list[list[int]]) -> None:
    quality, _ = estimate_quality(tables)
    assert 1 <= quality <= 100


@pytest.mark.parametrize("name", ["4:4:4", "4:2:2", "4:2:0"])
def test_subsampling_of_files(name: str) -> None:
    assert coding(encoded(photo(), "JPEG", subsampling=name)).subsampling == name


def test_subsampling_of_factors() -> None:
    assert subsampling([(1, 2), (1, 1), (1, 1)]) == "4:4:0"
    assert subsampling([(4, 1), (1, 1), (1, 1)]) == "4:1:1"
    assert subsampling([(1, 1)]) is None


def test_progressive() -> None:
    assert coding(file_bytes("jpeg progressive")).progressive
    assert not coding(file_bytes("jpeg")).progressive


def test_other_files_have_no_coding() -> None:
    for format in KINDS:
        with Image.open(io.BytesIO(file_bytes("png"))) as image:
            assert jpeg_coding(image) is None, format


def test_scans_are_counted_outside_of_thumbnails_and_what_follows() -> None:
    plain, progressive = file_bytes("jpeg"), file_bytes("jpeg progressive")
    assert scan_count(plain) == 1
    assert scan_count(progressive) == progressive.count(b"\xff\xda") > 3
    thumbnail = b"\xff\xe1" + (len(plain) + 2).to_bytes(2) + plain
    assert scan_count(plain[:2] + thumbnail + plain[2:]) == 1
    assert scan_count(plain + plain) == 1  # a second picture, as in an MPO


def test_the_coded_data_are_looked_through_only_where_further_scans_would_be_decoded() -> None:
    plain = file_bytes("jpeg")
    frame, scan = plain.index(b"\xff\xc0"), plain.index(b"\xff\xda")
    extra = plain[:-2] + plain[scan:-2] * 9 + plain[-2:]
    assert scan_count(extra) == 1  # one scan of all components: decoders end there
    assert scan_count(plain[:frame] + b"\xff\xd0" + extra[frame:]) == 1  # a marker without length
    one_of_three = bytearray(extra)
    one_of_three[scan + 4] = 1
    assert scan_count(bytes(one_of_three)) == 10
    progressive = bytearray(extra)
    progressive[frame + 1] = 0xC2
    assert scan_count(bytes(progressive)) == 10


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_scans_of_anything_are_a_number(noise: bytes) -> None:
    assert scan_count(b"\xff\xd8" + noise) >= 0
