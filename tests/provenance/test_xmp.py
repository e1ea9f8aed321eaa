"""XMP in every spelling of RDF and in every place that files keep it."""

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.image.read import read_picture
from sida.provenance.declared.metadata import declarations
from sida.provenance.declared.packets import exif_profile, iptc_blocks, xmp_packets
from sida.provenance.declared.png_texts import PngText, png_texts
from sida.provenance.declared.xmp import MAX_BYTES, XmpError, read_xmp
from tests.provenance import made_files as made

TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
NAME = "Iptc4xmpExt:DigitalSourceType"
SPELLINGS = {
    "attribute": (f'{NAME}="{TERM}"', ""),
    "text": ("", f"<{NAME}>\n {TERM}\n</{NAME}>"),
    "resource": ("", f'<{NAME} rdf:resource="{TERM}"/>'),
    "plain resource": ("", f'<{NAME} resource="{TERM}"/>'),
    "value": ("", f"<{NAME} rdf:parseType='Resource'><rdf:value>{TERM}</rdf:value></{NAME}>"),
    "value as an attribute": ("", f'<{NAME}><rdf:Description rdf:value="{TERM}"/></{NAME}>'),
    "value as a resource": (
        "",
        f'<{NAME}><rdf:Description><rdf:value rdf:resource="{TERM}"/></rdf:Description></{NAME}>',
    ),
    "node": ("", f'<{NAME}><rdf:Description rdf:about="{TERM}"/></{NAME}>'),
    "bag": ("", f"<{NAME}><rdf:Bag><rdf:li>{TERM}</rdf:li></rdf:Bag></{NAME}>"),
    "bag of resources": (
        "",
        f'<{NAME}><rdf:Bag><rdf:li rdf:resource="{TERM}"/></rdf:Bag></{NAME}>',
    ),
    "alternatives": (
        "",
        f"<{NAME}><rdf:Alt><rdf:li xml:lang='x-default'>{TERM}</rdf:li></rdf:Alt></{NAME}>",
    ),
    "list of nodes": (
        "",
        f"<{NAME}><rdf:Seq><rdf:li><rdf:Description><rdf:value>{TERM}</rdf:value>"
        f"</rdf:Description></rdf:li></rdf:Seq></{NAME}>",
    ),
    "characters": ("", f"<{NAME}><![CDATA[{TERM}]]></{NAME}>"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_read(spelling: str) -> None:
    assert read_xmp(made.xmp(*SPELLINGS[spelling])) == (("digital_source_type", TERM),)


@pytest.mark.parametrize(
    "term",
    [
        TERM,
        TERM + "/",
        TERM.replace("http:", "https:"),
        TERM.casefold(),
        "digsrctype:trainedAlgorithmicMedia",
        "trainedAlgorithmicMedia",
        TERM + "?lang=en",
    ],
)
def test_terms_are_told_without_their_address(term: str) -> None:
    assert declared_in(made.jpeg(xmp=made.xmp(f'{NAME}="{term}"'))) == [TOLD]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("padding", ["", " \n" * 40, "\0\0"])
def test_packets_in_any_encoding_and_with_padding(encoding: str, padding: str) -> None:
    text = made.xmp(*SPELLINGS["resource"]).decode() + padding
    assert read_xmp(text.encode(encoding)) == (("digital_source_type", TERM),)


def test_values_of_other_properties_do_not_leak() -> None:
    packet = made.xmp(
        "", f"<dc:rights><rdf:Alt><rdf:li rdf:resource='{TERM}'>x</rdf:li></rdf:Alt></dc:rights>"
    )
    assert read_xmp(packet) == ()


def test_very_long_values_are_cut_and_quick() -> None:
    packet = made.xmp("", "<dc:description>" + "&#65;" * 400_000 + "</dc:description>")
    ((_, value),) = read_xmp(packet)
    assert value.startswith("AAAA")


def declared_in(data: bytes) -> list[tuple[str, object]]:
    return [(item.name, item.value) for item in declarations(data, read_picture(data))]


PACKET = made.xmp(*SPELLINGS["resource"])
TOLD = ("digital_source_type", "trainedAlgorithmicMedia")


@pytest.mark.parametrize("size", [1_000, 200, 77, 1])
def test_an_extension_in_any_number_of_segments(size: int) -> None:
    assert declared_in(made.extended(PACKET, size)) == [TOLD]


def test_an_extension_of_more_than_64_kilobytes() -> None:
    long = PACKET.replace(b"<?xpacket end", b" " * 150_000 + b"<?xpacket end")
    assert declared_in(made.extended(long, 60_000)) == [TOLD]


def test_an_extension_that_lacks_a_part_or_all_is_a_line() -> None:
    complete = made.extended(PACKET, 200)
    part = complete.replace(b"xmp/extension/", b"xmp/something/", 1)
    ((name, value),) = declared_in(part)
    assert (name, value) == ("XMP", "XMP has an extension that is not whole; it was not read.")
    none = complete.replace(b"xmp/extension/", b"xmp/something/")
    assert declared_in(none) == [("XMP", "XMP names an extension that is not in the file.")]


def test_an_extension_that_claims_gigabytes_is_a_line() -> None:
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", 2**32 - 1, 0)
    ((name, value),) = declared_in(made.with_segment(made.jpeg(), 0xE1, head + b"<a/>"))
    assert name == "XMP"
    assert "an extension of 4,294,967,295 bytes" in str(value)


@pytest.mark.parametrize("is_in_blocks", [False, True])
def test_gif(is_in_blocks: bool) -> None:
    assert declared_in(made.gif(PACKET, is_in_blocks)) == [TOLD]


def test_a_gif_whose_packet_never_ends_is_read_as_far_as_it_goes() -> None:
    for cut in range(0, 600, 37):
        data = made.gif(PACKET)
        list(xmp_packets(data[: len(data) - cut], [], {}))


@pytest.mark.parametrize("name", ["xmp", "XMP", "APP1"])
def test_profiles_of_imagemagick(name: str) -> None:
    head = b"http://ns.adobe.com/xap/1.0/\0" if name == "APP1" else b""
    assert declared_in(made.png(made.profile(name, head + PACKET))) == [TOLD]
    assert declared_in(made.png(made.profile(name, head + PACKET), format="zTXt")) == [TOLD]


@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_exif_of_imagemagick(name: str) -> None:
    block = b"Exif\0\0" + made.exif(made.CANON).tobytes()[6:]
    result = declared_in(made.png(made.profile(name, block)))
    assert ("camera_model", "Canon EOS R6") in result
    assert not any("profile" in name for name, _ in result)


@pytest.mark.parametrize("text", ["", "exif", "\nexif\n 12\nzz", "\nexif\n" + "9" * 5000 + "\n00"])
def test_a_profile_that_is_none_is_a_line(text: str) -> None:
    result = declared_in(made.png(("Raw profile type exif", text)))
    assert all(name in ("PNG text", "EXIF") for name, _ in result)
    assert exif_profile([PngText("Raw profile type exif", text)]) in (None, b"")


def test_several_packets_are_all_read() -> None:
    data = made.jpeg(xmp=PACKET)
    extra = b"http://ns.adobe.com/xap/1.0/\0" + made.xmp('xmp:CreatorTool="tool"')
    assert sorted(declared_in(made.with_segment(data, 0xE1, extra))) == [
        ("creator_tool", "tool"),
        TOLD,
    ]


def test_tiff_and_webp() -> None:
    assert TOLD in declared_in(made.saved("TIFF", tiffinfo={700: PACKET}))
    assert declared_in(made.webp(xmp=PACKET)) == [TOLD]


CHANGES = st.dictionaries(st.integers(0, 900), st.integers(0, 255), max_size=9)
WHOLE = [
    made.extended(PACKET, 90), made.gif(PACKET), made.png(made.profile("xmp", PACKET)),
    made.with_segment(made.jpeg(), 0xED, made.iptc((110, "x"))),
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(WHOLE), CHANGES)
def test_no_bytes_break_the_finders(whole: bytes, changes: dict[int, int]) -> None:
    broken = bytearray(whole)
    for path, value in changes.items():
        broken[path] = value
    texts = list(png_texts(bytes(broken)))
    exif_profile(texts)
    list(iptc_blocks(bytes(broken), texts, {}))
    for packet in xmp_packets(bytes(broken), texts, {}):
        assert len(packet.data) <= 2 * MAX_BYTES
        with contextlib.suppress(XmpError):
            read_xmp(packet.data)
