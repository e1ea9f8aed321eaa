"""Files that are broken, hostile or odd: one sentence each, never a crash and never silent grey."""

import io
import warnings
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from sida.errors import PictureError
from sida.image.decode import MAX_SCANS, decode
from tests.pictures import KINDS, encoded, file_bytes, photo, png_chunk

PIXELS = 10**6
HEADERS = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF0000WEBPVP8L", b"BM"]
HEADERS += [b"II*\0", b"MM\0*", b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypheic", b"P6 4 4 255 "]


def read(data: bytes) -> np.ndarray | None:
    """The pixels, or None where the file is refused; anything else is a failure of the test."""
    try:
        return decode(data, "the picture", PIXELS).pixels
    except PictureError:
        return None


@settings(deadline=None)
@given(st.sampled_from(HEADERS), st.binary(max_size=400))
def test_random_bytes_are_refused(header: bytes, rest: bytes) -> None:
    read(header + rest)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(KINDS)), st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused_or_whole(kind: str, share: float) -> None:
    data = file_bytes(kind)
    pixels = read(data[: int(len(data) * share)])
    assert pixels is None or np.array_equal(pixels, read(data))


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "jpeg cmyk"])
def test_every_truncated_jpeg_is_refused(kind: str) -> None:
    data = file_bytes(kind)
    end_marker = len(data) - 2  # without it alone nothing is missing
    assert read(data) is not None
    assert [end for end in range(end_marker) if read(data[:end]) is not None] == []


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "png", "gif", "tiff", "bmp"])
def test_truncation_is_seen_where_a_program_told_pillow_to_overlook_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = file_bytes(kind)
    assert read(data) is not None
    assert read(data[: len(data) * 2 // 3]) is None


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_changed_bytes_are_refused_or_read(kind: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(file_bytes(kind))
    for place, value in changes:
        data[int(len(data) * place)] = value
    read(bytes(data))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_broken_exif_does_not_matter(noise: bytes) -> None:
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + noise)
    pixels = read(data)
    assert pixels is not None
    assert pixels.shape in (photo().shape, photo().swapaxes(0, 1).shape)


@pytest.mark.parametrize(
    "value",
    [
        b"\0\3\0\0\0\1\0\0\0\0",
        b"\0\3\0\0\0\1\0\x09\0\0",
        b"\0\2\0\0\0\0026\0\0\0",
        b"\0\5\xff\xff\xff\xff\0\0\0\0",
    ],
    ids=["zero", "nine", "text", "endless"],
)
def test_an_impossible_orientation_is_none(value: bytes) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12" + value + bytes(4)
    assert np.array_equal(read(encoded(photo(), "PNG", exif=exif)), photo())


def test_warnings_of_pillow_are_not_errors() -> None:
    """pytest turns warnings into errors here, as a program may; they are about metadata."""
    cut = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03"
    data = encoded(photo(), "JPEG", exif=cut)
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(io.BytesIO(data)):
        pass
    before = list(warnings.filters)
    assert np.array_equal(read(data), read(encoded(photo(), "JPEG")))
    assert warnings.filters == before


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 << 20))),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(3 << 20))),
        png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(3 << 20))),
        png_chunk(b"tEXt", b"Comment\0hello")[:-4] + b"\0\0\0\0",
    ],
    ids=["zTXt bomb", "iTXt bomb", "iCCP bomb", "tEXt with a wrong checksum"],
)
def test_bad_texts_in_a_png_are_left_out(chunk: bytes) -> None:
    data = encoded(photo(), "PNG")
    decoded = decode(data[:33] + chunk + data[33:], "the picture", PIXELS)
    assert np.array_equal(decoded.pixels, photo())
    assert decoded.warnings == ("the file's texts were left out: they are broken or too long",)


def test_good_texts_in_a_png_are_kept() -> None:
    data = encoded(photo(), "PNG")
    chunk = png_chunk(b"tEXt", b"parameters\0a cat, 20 steps")
    decoded = decode(data[:33] + chunk + data[33:], "the picture", PIXELS)
    assert decoded.metadata["info"]["parameters"] == "a cat, 20 steps"
    assert decoded.warnings == ()


def test_a_jpeg_of_endless_scans_is_refused_before_decoding() -> None:
    data = file_bytes("jpeg progressive")
    scan = data[data.rfind(b"\xff\xda") : -2]
    assert read(data[:-2] + scan * 20 + b"\xff\xd9") is not None
    with pytest.raises(PictureError, match=rf"JPEG of \d+ scans, expected at most {MAX_SCANS}"):
        decode(data[:-2] + scan * MAX_SCANS + b"\xff\xd9", "the picture", PIXELS)


def test_formats_that_nobody_asked_for_are_not_opened() -> None:
    """EPS would start Ghostscript; icons and fonts are no pictures to judge."""
    for format in ("EPS", "ICO", "PCX", "TGA", "SGI"):
        with pytest.raises(PictureError, match="no picture: expected JPEG"):
            decode(encoded(photo(64, 64), format), "the picture", PIXELS)


def test_the_preview_of_a_camera_raw_is_not_taken_for_the_picture() -> None:
    assert read(encoded(photo(), "TIFF", tiffinfo={0xFE: 0})) is not None
    with pytest.raises(PictureError, match="begins with a reduced preview, as camera raws do"):
        decode(encoded(photo(), "TIFF", tiffinfo={0xFE: 1}), "the picture", PIXELS)


def test_importing_and_reading_leave_pillow_as_it_was() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, "HEIF" in Image.OPEN)
    for kind in KINDS:
        read(file_bytes(kind))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, "HEIF" in Image.OPEN) == before


def test_a_broken_later_page_does_not_spoil_the_first() -> None:
    data = file_bytes("tiff pages")
    results = [read(data[:end]) for end in range(len(data) // 3, len(data), 97)]
    whole = [pixels for pixels in results if pixels is not None]
    assert len(whole) > 3
    assert all(np.array_equal(a, b) for a, b in pairwise([photo(), *whole]))
