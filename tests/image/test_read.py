"""Every picture a person has, from whatever it comes in; and each way it can go wrong."""

import hashlib
import io
import json
import os
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from sida.errors import PictureError
from sida.files import Input
from sida.image.read import Picture, read_mask, read_picture
from tests.pictures import (
    HEIGHT,
    KINDS,
    WIDTH,
    encoded,
    file_bytes,
    photo,
    png,
    samples16,
    with_orientation,
)

LOSSLESS = (
    "png", "png alpha", "png rgb, one transparent", "png 16-bit rgb", "png 16-bit rgba", "apng",
    "webp", "webp alpha", "webp animated", "tiff", "tiff lzw", "tiff pages", "tiff cmyk", "bmp",
    "ppm",
)  # fmt: skip
GREY = ("png grey", "png 16-bit grey", "png 16-bit grey and alpha", "tiff 16-bit", "pgm 16-bit")


def test_oracle_pictures_decode_to_the_recorded_pixels(shared: Path) -> None:
    folder = shared / "oracle" / "preprocess"
    recorded = json.loads((folder / "preprocess.json").read_text())
    names = [name for name in recorded if not name.startswith("_")]
    assert len(names) == 11
    for name in names:
        pixels = read_picture(folder / "pictures" / name).pixels
        digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
        assert digest == recorded[name]["decoded_rgb_sha256"], name


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_rgb(kind: str) -> None:
    picture = read_picture(file_bytes(kind))
    turned = "rotated" in kind
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == ((WIDTH, HEIGHT, 3) if turned else (HEIGHT, WIDTH, 3))
    assert (picture.height, picture.width) == picture.pixels.shape[:2]
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_kinds_are_exact(kind: str) -> None:
    assert np.array_equal(read_picture(file_bytes(kind)).pixels, photo())


@pytest.mark.parametrize("kind", GREY)
def test_grey_is_the_high_byte_three_times(kind: str) -> None:
    pixels = read_picture(file_bytes(kind)).pixels
    assert np.array_equal(pixels, np.repeat(photo()[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("heic", "tiff float")])
def test_the_reading_is_that_of_opencv(kind: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="compares with OpenCV, of the extra 'data'")
    expected = cv2.imdecode(np.frombuffer(file_bytes(kind), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    pixels = read_picture(file_bytes(kind)).pixels
    tolerance = 1 if kind == "jpeg cmyk" else 0  # OpenCV divides by 256, Pillow by 255
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("gif animated", "first of 3 frames"),
        ("apng", "first of 3 frames"),
        ("webp animated", "first of 3 frames"),
        ("tiff pages", "first of 3 pages"),
        ("mpo", "first of 3 pictures"),
    ],
)
def test_further_frames_are_mentioned(kind: str, sentence: str) -> None:
    assert read_picture(file_bytes(kind)).warnings == (sentence,)


def test_one_frame_is_not_mentioned() -> None:
    for format in ("gif", "webp", "tiff", "jpeg", "png"):
        assert read_picture(file_bytes(format)).warnings == ()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int, format: str) -> None:
    lossless = {"lossless": True} if format == "WEBP" else {}
    stored = Image.open(stream := io.BytesIO(with_orientation(1, format, **lossless)))
    with stream, stored:
        plain = np.array(stored.convert("RGB"))
    expected = {
        1: plain,
        2: plain[:, ::-1],
        3: plain[::-1, ::-1],
        4: plain[::-1],
        5: plain.transpose(1, 0, 2),
        6: np.rot90(plain, -1),
        7: np.rot90(plain, 2).transpose(1, 0, 2),
        8: np.rot90(plain, 1),
    }[orientation]
    turned = read_picture(with_orientation(orientation, format, **lossless))
    assert np.array_equal(turned.pixels, expected)


def test_floats_say_how_they_were_read() -> None:
    def reading(values: np.ndarray) -> Picture:
        return read_picture(encoded(Image.fromarray(values.astype(np.float32)), "TIFF"))

    unit = reading(np.array([[0, 0.5, 1]]))
    assert unit.pixels[0, :, 0].tolist() == [0, 128, 255]
    assert unit.warnings == ("floating-point values were read as 0 (black) to 1 (white)",)
    assert reading(np.array([[0, 128, 255]])).pixels[0, :, 0].tolist() == [0, 128, 255]
    assert reading(np.array([[-1, 0, 1]])).pixels[0, :, 0].tolist() == [0, 128, 255]
    assert reading(np.array([[np.nan, np.inf, 1]])).pixels[0, :, 0].tolist() == [0, 0, 255]
    assert reading(np.zeros((2, 2))).pixels.max() == 0


def test_32_bit_integers() -> None:
    values = np.array([[0, 256 * 100, 65535]], np.int32)
    picture = read_picture(encoded(Image.fromarray(values), "TIFF"))
    assert picture.pixels[0, :, 0].tolist() == [0, 100, 255]
    assert picture.warnings == ("32-bit values were read as 0 (black) to 65535 (white)",)


def test_one_pixel() -> None:
    for format in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"):
        assert read_picture(encoded(photo(1, 1), format)).pixels.shape == (1, 1, 3)


def test_a_path_gives_name_format_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "photo.JPG"
    path.write_bytes(file_bytes("png"))
    picture = read_picture(path)
    assert (picture.name, picture.format) == (str(path), "PNG")
    assert picture.sha256 == hashlib.sha256(file_bytes("png")).hexdigest()
    assert read_picture(str(path), name="mine").name == "mine"
    assert read_picture(Input(path, "in/photo.JPG", PurePosixPath("photo.JPG"))).name == (
        "in/photo.JPG"
    )


def test_bytes_have_a_digest_but_no_name() -> None:
    picture = read_picture(file_bytes("png"))
    assert picture.name is None
    assert picture.sha256 == hashlib.sha256(file_bytes("png")).hexdigest()


def test_arrays_and_pillow_images() -> None:
    picture = read_picture(photo())
    assert np.array_equal(picture.pixels, photo())
    assert (picture.format, picture.name, picture.sha256) == (None, None, None)
    image = Image.fromarray(photo()).convert("RGBA")
    assert np.array_equal(read_picture(image).pixels, photo())
    assert image.mode == "RGBA"
    flipped = read_picture(photo()[:, ::-1])
    assert flipped.pixels.flags.c_contiguous


def test_a_pillow_image_keeps_its_frame() -> None:
    with io.BytesIO(file_bytes("gif animated")) as stream, Image.open(stream) as image:
        image.seek(2)
        expected = np.array(image.convert("RGB"))
        assert np.array_equal(read_picture(image).pixels, expected)
        assert image.tell() == 2


def test_a_picture_comes_back_as_it_is() -> None:
    picture = read_picture(file_bytes("jpeg"), name="a.jpg")
    assert read_picture(picture).pixels is picture.pixels
    assert read_picture(picture).name == "a.jpg"
    assert read_picture(picture, name="b.jpg").name == "b.jpg"


def test_metadata_is_kept_raw() -> None:
    profile = b"not a real profile"
    exif = Image.Exif()
    exif[0x0131] = "Some Editor 1.0"
    data = encoded(photo(), "JPEG", exif=exif, icc_profile=profile, comment=b"hello")
    metadata = read_picture(data).metadata
    assert metadata["icc"] == profile
    assert b"Some Editor 1.0" in metadata["exif"]
    assert metadata["info"]["comment"] == b"hello"
    assert metadata["jpeg"].quality == 75


def test_a_profile_does_not_change_colours() -> None:
    profile = b"not a real profile"
    plain, tagged = encoded(photo(), "PNG"), encoded(photo(), "PNG", icc_profile=profile)
    assert np.array_equal(read_picture(plain).pixels, read_picture(tagged).pixels)


# What cannot be read


def error_of(source: object, **options: object) -> PictureError:
    with pytest.raises(PictureError) as caught:
        read_picture(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert "None" not in message
    return caught.value


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty (0 bytes)"),
        (b"Dear friend,\nthis is a letter.\n", "is text, no picture: expected JPEG, PNG"),
        (b"<!DOCTYPE html><p>404", "is a web page, no picture"),
        (b"%PDF-1.7\n", "is a PDF, no picture"),
        (bytes(1000), "is only zeros, no picture"),
        (bytes(range(256)), "is data of another kind, no picture"),
        (file_bytes("jpeg")[:700], "cannot be read as JPEG (image file is truncated"),
        (file_bytes("png")[:700], "cannot be read as PNG (image file is truncated"),
    ],
)
def test_what_is_no_picture_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    error = error_of(path)
    assert error.code == "unreadable_image"
    assert f"{str(path)!r} {sentence}" in str(error)
    assert sentence in str(error_of(content))


def test_not_found(tmp_path: Path) -> None:
    (tmp_path / "file.jpg").write_bytes(b"x")
    for path in (tmp_path / "no.jpg", tmp_path / "file.jpg" / "below.jpg"):
        error = error_of(path)
        assert error.code == "not_found"
        assert str(error) == f"{str(path)!r} was not found: check the path"


def test_a_folder(tmp_path: Path) -> None:
    error = error_of(tmp_path)
    assert error.code == "unreadable_image"
    assert "is a folder, expected one picture" in str(error)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "photo.jpg").write_bytes(file_bytes("jpeg"))
    monkeypatch.setattr(os, "open", denied)
    assert "may not be read" in str(error_of(tmp_path / "photo.jpg"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.jpg")
    assert "is a device or a pipe" in str(error_of(tmp_path / "photo.jpg"))


def test_odd_paths() -> None:
    error_of("a\0b.jpg")
    error_of("x" * 5000 + ".jpg")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_of_another_form(array: np.ndarray) -> None:
    message = str(error_of(array))
    assert str(array.shape) in message
    assert "(height, width, 3) of uint8" in message


def test_other_types() -> None:
    assert "is of type int, expected a path" in str(error_of(3))


def test_size_is_checked_by_the_header(tmp_path: Path) -> None:
    bomb = png(b"", width=100_000, height=1_001, depth=8, colour=2)
    error = error_of(bomb)
    assert error.code == "too_large"
    assert "100000 x 1001 = 100.1 megapixels, expected at most 100" in str(error)


def test_the_limit_holds_for_all_sources() -> None:
    sources = (photo(), Image.fromarray(photo()), read_picture(photo()), *map(file_bytes, KINDS))
    for source in sources:
        assert error_of(source, max_pixels=HEIGHT * WIDTH - 1).code == "too_large"
        assert read_picture(source, max_pixels=HEIGHT * WIDTH).pixels.size


def test_pillows_own_limit_is_neither_used_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_picture(file_bytes("png")).pixels.shape == (HEIGHT, WIDTH, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_100_megapixels_are_read() -> None:
    data = encoded(Image.new("1", (10_000, 10_000)), "PNG")
    assert read_mask(data).shape == (10_000, 10_000)


def test_a_missing_reader_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    heic = file_bytes("heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    message = str(error_of(heic))
    assert "is HEIC. Reading HEIC pictures needs the package 'pillow-heif'" in message
    assert "pip install 'sida[heif]'" in message


# Masks


def test_masks_are_grey_levels(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[3:9, 5:20] = True
    expected = np.where(mask, 255, 0)
    path = tmp_path / "a_mask.png"
    Image.fromarray(mask).save(path)
    assert np.array_equal(read_mask(path), expected)
    rgb = encoded(np.repeat(expected[..., None], 3, axis=2).astype(np.uint8), "PNG")
    assert np.array_equal(read_mask(rgb), expected)
    palette = encoded(Image.fromarray(expected.astype(np.uint8)).convert("P"), "PNG")
    assert np.array_equal(read_mask(palette), expected)
    assert np.array_equal(read_mask(file_bytes("png 16-bit grey")), samples16(1)[..., 0] >> 8)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_mask.png"
    path.write_bytes(encoded(photo(6, 8), "PNG"))
    assert read_mask(path, (6, 8)).shape == (6, 8)
    with pytest.raises(PictureError, match="is 8 x 6, expected the picture's 6 x 8: save masks"):
        read_mask(path, (8, 6))
