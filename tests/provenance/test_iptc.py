"""IPTC-IIM in the places where files keep it."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from sida.provenance.declared.iptc import photoshop_iptc, read_iptc
from sida.provenance.inspection import inspect
from tests.provenance import made_files as made

RESOURCES = made.iptc((110, "Made with Google AI"), (120, "a café"), (80, "A. Person"))[14:]
BLOCK = photoshop_iptc(RESOURCES)


def declared_in(data: bytes, personal: bool = False) -> dict[str, object]:
    provenance = inspect(data, personal=personal)
    return {statement.name: statement.value for statement in provenance.declared}


def test_fields_have_their_names() -> None:
    assert list(read_iptc(BLOCK)) == [
        ("credit", "Made with Google AI"),
        ("description", "a café"),
        ("creator", "A. Person"),
    ]


def test_a_credit_names_a_generator_and_people_are_left_out() -> None:
    data = made.with_segment(made.jpeg(), 0xED, b"Photoshop 3.0\0" + RESOURCES)
    result = declared_in(data)
    assert result["generator"] == "Google AI"
    assert result["description"] == "a café"
    assert "creator" not in result
    assert declared_in(data, personal=True)["creator"] == "A. Person"


def test_a_long_block_in_two_segments() -> None:
    data = made.jpeg()
    for part in (RESOURCES[40:], RESOURCES[:40]):
        data = made.with_segment(data, 0xED, b"Photoshop 3.0\0" + part)
    assert declared_in(data)["generator"] == "Google AI"


def test_tiff() -> None:
    assert declared_in(made.saved("TIFF", tiffinfo={33723: BLOCK}))["generator"] == "Google AI"
    assert declared_in(made.saved("TIFF", tiffinfo={34377: RESOURCES}))["generator"] == "Google AI"


def test_profiles_of_png() -> None:
    for name, content in (("iptc", RESOURCES), ("8bim", RESOURCES), ("iptc", BLOCK)):
        assert declared_in(made.png(made.profile(name, content)))["generator"] == "Google AI"


def test_without_a_statement_of_utf8_it_is_tried() -> None:
    for value in ("café".encode(), "café".encode("latin-1")):
        block = b"\x1c\2\x6e" + struct.pack(">H", len(value)) + value
        assert list(read_iptc(block)) == [("credit", "café")]


def test_long_sizes() -> None:
    block = b"\x1c\2\x6e\x80\4" + struct.pack(">I", 5) + b"words" + b"\x1c\2\x73\0\1x"
    assert list(read_iptc(block)) == [("credit", "words"), ("source", "x")]


@given(st.binary(max_size=300))
def test_no_bytes_break_it(noise: bytes) -> None:
    list(read_iptc(noise))
    list(read_iptc(b"\x1c\2\x6e" + noise))
    photoshop_iptc(noise)
    photoshop_iptc(b"8BIM\4\4" + noise)
