"""EXIF's fields: what was never set says nothing, what is no place is none."""

import pytest
from PIL.TiffImagePlugin import IFDRational

from sida.provenance import inspect
from sida.provenance.declared.exif import is_unset, read_exif
from tests.provenance import made_files as made


@pytest.mark.parametrize(
    "value",
    ["", " ", "0000:00:00 00:00:00", "    :  :     :  :  ", "0000-00-00T00:00:00Z", "\0\0", None,
     "0000:00:00", "-", "0000:00:00 00:00:00.00"],
)  # fmt: skip
def test_unset_values(value: str | None) -> None:
    assert is_unset(value)


@pytest.mark.parametrize("value", ["2025:06:01 12:00:00", "Canon", "0", 0, 7, "a 0000:00:00"])
def test_set_values(value: object) -> None:
    assert not is_unset(value)


@pytest.mark.parametrize("tag", [0x0132, 0x9003, 0x9004])
@pytest.mark.parametrize(
    "unset", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2025:00:00 00:00:00"]
)
def test_a_time_that_was_never_set_contradicts_nothing(tag: int, unset: str) -> None:
    times = {0x0132: "2025:06:02 10:00:00", 0x9003: "2025:06:01 10:00:00", tag: unset}
    outer = {0x0132: times.pop(0x0132)}
    assert inspect(made.jpeg(exif=made.exif(outer, times))).contradictions == ()


def test_times_are_still_compared() -> None:
    times = made.exif({0x0132: "2025:06:01 09:59:59"}, {0x9003: "2025:06:01 10:00:00"})
    assert len(inspect(made.jpeg(exif=times)).contradictions) == 1


@pytest.mark.parametrize("size", [(0, 0), (0, 64), (96, 0), (96, 64), (64, 96)])
def test_a_size_of_0_contradicts_nothing(size: tuple[int, int]) -> None:
    exif = made.exif({}, {0xA002: size[0], 0xA003: size[1]})
    assert inspect(made.jpeg(exif=exif)).contradictions == ()


@pytest.mark.parametrize(
    "place",
    [{}, {1: "N", 3: "E"}, {1: "N", 2: (1.0,)}, {2: (IFDRational(0, 0),) * 3}],
)
def test_what_is_no_place_costs_nothing_else(place: dict[int, object]) -> None:
    result = read_exif(made.exif({0x010F: "Canon"}, gps=place).tobytes())
    assert result.problem is None
    assert result.fields["camera_make"] == "Canon"
    assert "latitude" not in result.fields


def test_texts_may_be_utf8() -> None:
    exif = made.exif({0x010E: "Füchse".encode()})
    assert read_exif(exif.tobytes()).fields["description"] == "Füchse"


def test_windows_writes_utf16() -> None:
    exif = made.exif({0x9C9C: "a note\0".encode("utf-16-le")})
    assert read_exif(exif.tobytes()).fields["windows_comment"] == "a note"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_unturned_thumbnail_is_of_the_picture_in_every_orientation(orientation: int) -> None:
    assert inspect(made.with_thumbnail(made.photo(), orientation)).contradictions == ()
    other = inspect(made.with_thumbnail(made.photo(seed=5), orientation))
    assert len(other.contradictions) == 1
