"""EXIF's comment in every encoding that programs write into it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.provenance.declared.exif import read_exif
from sida.provenance.declared.generator_settings import generator_settings
from sida.provenance.declared.user_comment import decode_comment
from tests.provenance import made_files as made

TEXTS = (
    "a red fox",
    "红色的狐狸, portrait\nNegative prompt: blurry",
    "一只红色的狐狸在雪地里\uff0c高清\uff0c大师作品",
    "猫がいる静かな部屋。",
    "안녕하세요 세계",
    "Привет, мир",
    "مرحبا بالعالم",
    "naïve café",
    "🦊 fox",
)
WIDE = ("utf-16-le", "utf-16-be")


@pytest.mark.parametrize("text", TEXTS)
def test_unicode_of_any_order_with_a_mark_or_without(text: str) -> None:
    for encoding, mark, order in itertools.product(
        (*WIDE, "utf-8"), ("", "\ufeff"), ("little", "big")
    ):
        value = b"UNICODE\0" + (mark + text).encode(encoding)
        assert decode_comment(value, order) == text, (encoding, mark, order)


@pytest.mark.parametrize("code", [b"ASCII\0\0\0", bytes(8), b"", b"Ascii\0\0\0", b"ASCII   "])
def test_other_codes_hold_utf8_as_well(code: bytes) -> None:
    for text in TEXTS:
        assert decode_comment(code + text.encode()) == text


def test_latin_1_is_what_is_no_utf8() -> None:
    assert decode_comment(b"ASCII\0\0\0caf\xe9") == "café"
    assert decode_comment(bytes(8) + "a red fox".encode("utf-16-le")) == "a red fox"


@pytest.mark.parametrize("encoding", ["iso2022_jp", "shift_jis", "euc_jp", "utf-8", "ascii"])
def test_jis_is_read(encoding: str) -> None:
    text = "prompt: a cat" if encoding == "ascii" else "日本語の説明"
    assert decode_comment(b"JIS\0\0\0\0\0" + text.encode(encoding)) == text


def test_jis_without_its_escapes() -> None:
    bare = "日本語の説明".encode("iso2022_jp")[3:-3]
    assert decode_comment(b"JIS\0\0\0\0\0" + bare) == "日本語の説明"


def test_jis_that_is_none_is_a_sentence() -> None:
    assert decode_comment(b"JIS\0\0\0\0\0\xff\xfe\xfd\x80") is None
    exif = made.exif({0x010F: "Canon"}, {0x9286: b"JIS\0\0\0\0\0\xff\xfe\xfd\x80"})
    result = read_exif(exif.tobytes())
    assert result.problem == "has a comment in an encoding that is not known; it was not read"
    assert result.fields["camera_make"] == "Canon"


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("encoding", [*WIDE, "utf-8"])
def test_settings_come_out_of_either_order_of_exif(encoding: str, endian: str) -> None:
    text = made.WEB_UI.replace("a red fox", "红色的狐狸")
    exif = made.exif({}, {0x9286: b"UNICODE\0" + text.encode(encoding)})
    exif.endian = endian
    fields = read_exif(exif.tobytes()).fields
    (settings,) = generator_settings({"comment": str(fields["comment"])})
    assert settings.prompt == "红色的狐狸 in the snow, 35mm"
    assert settings.model == "sd_v15"


@given(
    st.binary(max_size=200), st.sampled_from([b"UNICODE\0", b"JIS\0\0\0\0\0", b"ASCII\0\0\0", b""])
)
def test_no_bytes_break_it(noise: bytes, code: bytes) -> None:
    text = decode_comment(code + noise)
    assert text is None or isinstance(text, str)


@given(st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=3))
def test_any_ascii_comes_back(text: str) -> None:
    for encoding in WIDE:
        assert decode_comment(b"UNICODE\0" + text.encode(encoding)) == text
