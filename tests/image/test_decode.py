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
def test_random_bytes_are_refused(header: bytes, body: bytes) -> None:
    read(header + body)


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
    for path, value in changes:
        data[int(len(data) * path)] = value
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
    for format in KINDS:
        read(file_bytes(format))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, "HEIF" in Image.OPEN) == before


def test_a_broken_later_page_does_not_spoil_the_first() -> None:
    data = file_bytes("tiff pages")
    results = [read(data[:end]) for end in range(len(data) // 3, len(data), 97)]
    complete = [pixels for pixels in results if pixels is not None]
    assert len(complete) > 3
    assert all(np.array_equal(a, b) for a, b in pairwise([photo(), *complete]))


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "jpeg grey", "jpeg cmyk"])
@pytest.mark.parametrize("end", [b"", b"\xff", bytes(4096), b"\xff" + bytes(100)])
def test_a_jpeg_that_lacks_its_end_alone_is_read_with_a_warning(kind: str, end: bytes) -> None:
    data = file_bytes(kind)
    decoded = decode(data[:-2] + end, "the picture", PIXELS)
    assert np.array_equal(decoded.pixels, read(data))
    assert decoded.warnings == ("the end of the JPEG is missing, though no row of the picture is",)
    assert decode(data, "the picture", PIXELS).warnings == ()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_that_lacks_rows_is_refused_whatever_ends_it(options: dict[str, object]) -> None:
    data = encoded(photo(160, 120), "JPEG", quality=90, **options)
    start = data.index(b"\xff\xda")
    for end in (b"", b"\xff\xd9", bytes(30)):
        for share in (0.1, 0.5, 0.9) if "progressive" not in options or not end else (0.02,):
            cut = start + round((len(data) - start) * share)
            assert read(data[:cut] + end) is None, (end, share)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 100), st.integers(0, 5), st.data())
def test_jpegs_are_read_whole_with_and_without_their_end(
    height: int, width: int, quality: int, seed: int, data: st.DataObject
) -> None:
    options = data.draw(
        st.sampled_from([{}, {"progressive": True}, {"optimize": True}, {"subsampling": "4:4:4"}])
    )
    file = encoded(photo(height, width, seed), "JPEG", quality=quality, **options)
    with Image.open(io.BytesIO(file)) as image:
        expected = np.array(image)
    assert np.array_equal(read(file), expected)
    assert np.array_equal(read(file[:-2]), expected)
    assert np.array_equal(read(file + b"trailing"), expected)


ANCILLARY = (
    b"tIME",
    b"gAMA",
    b"pHYs",
    b"sRGB",
    b"cHRM",
    b"bKGD",
    b"eXIf",
    b"sBIT",
    b"prVt",
    b"hIST",
)
BODIES = {
    b"gAMA": b"\0\1\x86\xa0",
    b"pHYs": bytes(9),
    b"sRGB": b"\0",
    b"tIME": b"\7\xe9" + bytes(5),
}


@pytest.mark.parametrize("kind", ANCILLARY)
@pytest.mark.parametrize("position", ["before", "after"])
def test_a_wrong_checksum_in_an_ancillary_chunk_costs_a_warning(kind: bytes, position: str) -> None:
    data = encoded(photo(), "PNG")
    chunk = png_chunk(kind, BODIES.get(kind, bytes(8)))[:-4] + b"\xde\xad\xbe\xef"
    at = 33 if position == "before" else len(data) - 12
    decoded = decode(data[:at] + chunk + data[at:], "the picture", PIXELS)
    assert np.array_equal(decoded.pixels, photo())
    name = kind.decode()
    assert decoded.warnings == (
        f"the checksum of {name} is wrong: that part of the file was left out",
    )


def test_transparency_with_a_wrong_checksum_is_left_out_too() -> None:
    data = file_bytes("png palette, one transparent")
    at = data.index(b"tRNS") + 4 + int.from_bytes(data[data.index(b"tRNS") - 4 :][:4])
    broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    decoded = decode(broken, "the picture", PIXELS)
    assert np.array_equal(decoded.pixels, read(data))
    assert "tRNS" in decoded.warnings[0]


@pytest.mark.parametrize("kind", [b"IHDR", b"IEND", b"PLTE"])
def test_chunks_that_pixels_need_are_not_left_out(kind: bytes) -> None:
    data = bytearray(file_bytes("png palette"))
    at = data.index(kind)
    end = at + 4 + int.from_bytes(data[at - 4 : at])
    data[end] ^= 1
    try:
        decoded = decode(bytes(data), "the picture", PIXELS)
    except PictureError:
        return
    assert np.array_equal(decoded.pixels, read(file_bytes("png palette")))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\x0a" + bytes(range(1, 60)), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x29" + bytes(40), "JPEG 2000"),
        (b"II\xbc\x01" + bytes(40), "JPEG XR"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", r"a camera raw \(CR3\)"),
        (b"FUJIFILMCCD-RAW 0201", r"a camera raw \(RAF\)"),
        (b"IIU\0\x18\0\0\0" + bytes(40), r"a camera raw \(RW2\)"),
        (b"IIRO\x08\0\0\0" + bytes(40), r"a camera raw \(ORF\)"),
        (b"8BPS\0\1" + bytes(40), "a Photoshop document"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    ],
)
def test_pictures_of_other_forms_are_named(data: bytes, name: str) -> None:
    with pytest.raises(PictureError, match=rf"is {name}, which is not read: export it as JPEG or "):
        decode(data, "the picture", PIXELS)


def test_jpeg_2000_of_pillow_is_named() -> None:
    with pytest.raises(PictureError, match="is JPEG 2000, which is not read"):
        decode(encoded(photo(), "JPEG2000"), "the picture", PIXELS)


def test_videos_and_archives_are_no_pictures() -> None:
    for data, name in ((b"\0\0\0\x18ftypmp42" + bytes(9), "a video"), (b"PK\3\4", "a ZIP archive")):
        with pytest.raises(PictureError, match=f"is {name}, no picture"):
            decode(data, "the picture", PIXELS)


SHARED = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "GIF", "TIFF")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_what_opencv_reads_as_well_is_read_the_same(data: st.DataObject) -> None:
    """Random pictures in every mode that Pillow writes and OpenCV reads."""
    cv2 = pytest.importorskip("cv2", reason="compares with OpenCV, of the extra 'data'")
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    image = Image.fromarray(rng.integers(0, 256, (height, width, 4), np.uint8))
    format = data.draw(st.sampled_from(SHARED))
    few = {"JPEG": ("L", "RGB"), "GIF": ("L", "P"), "PPM": ("1", "L", "RGB")}
    few["BMP"] = ("1", "L", "P", "RGB")
    modes = few.get(format, ("1", "L", "P", "RGB", "RGBA"))
    mode = data.draw(st.sampled_from(modes))
    image = image.convert("RGB").quantize(16) if mode == "P" else image.convert(mode)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    file = encoded(image, format, **options)
    expected = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    pixels = read(file)
    assert pixels is not None
    assert np.array_equal(pixels, expected[..., ::-1])
