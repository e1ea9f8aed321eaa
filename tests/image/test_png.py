"""PNG's chunks and JPEG's segments, without a decoder, on what breaks readers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.image.jpeg import complete_variants, scan_count, segments
from sida.image.png import TEXTS_LEFT_OUT, chunks, without_broken_parts, without_texts
from sida.image.signatures import looks_like
from tests.pictures import encoded, file_bytes, photo, png_chunk

PNG = file_bytes("png")
TEXT, TIME = png_chunk(b"tEXt", b"Title\0a"), png_chunk(b"tIME", bytes(7))


def with_chunks(*extra: bytes) -> bytes:
    return PNG[:33] + b"".join(extra) + PNG[33:]


def broken(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def test_a_whole_file_comes_back_as_it_is() -> None:
    complete = with_chunks(TEXT, TIME)
    assert without_broken_parts(complete) == (complete, ())
    assert [chunk.type for chunk in chunks(complete)] == [
        b"IHDR",
        b"tEXt",
        b"tIME",
        b"IDAT",
        b"IEND",
    ]
    for data in (file_bytes("jpeg"), b"", b"words"):
        assert without_broken_parts(data) == (data, ())
        assert without_texts(data) == data
        assert list(chunks(data)) == []


NO_TIME = "the checksum of tIME is wrong: that part of the file was left out"


@pytest.mark.parametrize(
    ("added", "kept", "warnings"),
    [
        ((broken(TIME),), (), (NO_TIME,)),
        ((broken(TIME), TEXT), (TEXT,), (NO_TIME,)),
        ((broken(TEXT), TIME), (TIME,), (TEXTS_LEFT_OUT,)),
        ((broken(TEXT), TEXT, broken(TIME)), (), (TEXTS_LEFT_OUT, NO_TIME)),
    ],
)
def test_what_is_broken_is_left_out_and_named(
    added: tuple[bytes, ...], kept: tuple[bytes, ...], warnings: tuple[str, ...]
) -> None:
    assert without_broken_parts(with_chunks(*added)) == (with_chunks(*kept), warnings)


def test_many_names_are_not_all_listed() -> None:
    extra = [broken(png_chunk(f"a{letter}Aa".encode(), b"")) for letter in "abcdefgh"]
    (text,) = without_broken_parts(with_chunks(*extra))[1]
    assert text.startswith("the checksum of aaAa, abAa, acAa, adAa, aeAa, … is wrong")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_walkers(noise: bytes) -> None:
    for data in (
        noise,
        PNG[:33] + noise,
        b"\xff\xd8\xff" + noise,
        file_bytes("jpeg")[:200] + noise,
    ):
        without_texts(without_broken_parts(data)[0])
        complete_variants(data)
        scan_count(data)
        list(segments(data))
        assert looks_like(data)


def test_only_a_jpeg_without_its_end_is_read_more_than_once() -> None:
    jpegs = [file_bytes("jpeg"), file_bytes("jpeg progressive"), file_bytes("mpo")]
    for data in jpegs:
        variants, has_end = complete_variants(data)
        assert (len(variants), has_end) == (1, True)
    for data in jpegs[:2]:
        variants, has_end = complete_variants(data[:-2])
        assert (len(variants), has_end) == (3, False)
    arithmetic = encoded(photo(), "JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert complete_variants(arithmetic) == ((arithmetic,), True)
