"""The readers of texts, XMP, EXIF and credentials, each by itself, on what breaks readers."""

import base64
import contextlib
import io
import os
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sida.errors import MissingExtra, PictureError
from sida.provenance import inspect, inspection
from sida.provenance.declared import credentials as credentials_module
from sida.provenance.declared.credentials import credentials
from sida.provenance.declared.declaration import without_thumbnails
from sida.provenance.declared.exif import read_exif
from sida.provenance.declared.generator_names import generator_named
from sida.provenance.declared.generator_settings import generator_settings
from sida.provenance.declared.png_texts import MAX_TEXT, png_texts
from sida.provenance.declared.xmp import MAX_BYTES, XmpError, read_xmp
from sida.verdict import Declared
from tests.provenance import made_files as made
from tests.provenance import signing


def test_texts_of_each_kind_are_read() -> None:
    for format in ("tEXt", "zTXt", "iTXt"):
        (text,) = png_texts(made.png(("Title", "näher"), format=format))
        assert (text.keyword, text.text, text.problem) == ("Title", "näher", None)
    assert list(png_texts(made.jpeg())) == []


def test_a_text_that_inflates_beyond_the_limit_costs_little_memory_and_itself_alone() -> None:
    data = made.bomb()
    tracemalloc.start()
    result = {text.keyword: text for text in png_texts(data)}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * MAX_TEXT
    assert "longer than" in str(result["Comment"].problem)
    assert result["parameters"].text == made.WEB_UI


def test_all_texts_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sida.provenance.declared.png_texts.MAX_ALL", 25)
    result = list(png_texts(made.png(("a", "x" * 20), ("b", "y" * 20))))
    assert [text.problem is None for text in result] == [True, False]


def test_a_broken_compressed_text_is_a_sentence() -> None:
    data = made.with_chunk(made.png(), b"zTXt", b"Title\0\0" + zlib.compress(b"abc")[:-5] + b"???")
    assert "broken" in str(next(png_texts(data)).problem)


@given(st.binary(max_size=400))
def test_no_bytes_break_a_reader(data: bytes) -> None:
    list(png_texts(made.png()[:33] + data))
    read_exif(b"Exif\0\0II*\0\x08\0\0\0" + data)
    read_exif(data)
    with contextlib.suppress(XmpError):
        read_xmp(data)


def test_xmp_is_read_from_attributes_elements_and_lists() -> None:
    packet = made.xmp(
        'xmp:CreatorTool="tool"',
        "<photoshop:Credit>credit</photoshop:Credit><dc:description><rdf:Alt>"
        '<rdf:li xml:lang="x-default">words</rdf:li></rdf:Alt></dc:description>',
    )
    assert read_xmp(packet) == (
        ("creator_tool", "tool"),
        ("credit", "credit"),
        ("description", "words"),
    )


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        (made.LAUGHS, "declares entities"),
        (made.OUTSIDE, "declares entities"),
        (made.DEEP_XML, "nests deeper"),
        (b"<a", "no well-formed XML"),
        (b"", "no well-formed XML"),
        (b"<a>" + b" " * MAX_BYTES + b"</a>", "longer than"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "no well-formed XML"),
    ],
)
def test_xmp_that_is_not_read_says_why(packet: bytes, sentence: str) -> None:
    with pytest.raises(XmpError, match=sentence):
        read_xmp(packet)


def test_settings_are_shown_and_not_carried_out() -> None:
    text = "__import__('os').system('false'); {{ 7 * 7 }} %s\nSteps: 1, Model: $(touch here)"
    (result,) = generator_settings({"parameters": text})
    assert result.prompt == "__import__('os').system('false'); {{ 7 * 7 }} %s"
    assert result.model == "$(touch here)"


@pytest.mark.parametrize("text", ["", "Adobe Photoshop 26.0", "GIMP", "darktable", "Firewire"])
def test_other_programs_are_no_generators(text: str) -> None:
    assert generator_named(text) is None


def test_a_hostile_reader_of_credentials_ends_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = tmp_path / "reader.py"
    monkeypatch.setattr(credentials_module, "_READER", reader)
    monkeypatch.setattr(credentials_module, "SECONDS", 0.5)
    for code, text in (
        ("import time; time.sleep(60)", "took longer than"),
        ("import os; os.abort()", "made their reader fail"),
        ("import sys; sys.exit(3)", "made their reader fail"),
    ):
        reader.write_text(code)
        (result,) = credentials(made.signed())
        assert text in str(result.value)
        assert result.state == "not read"


def test_the_reader_limits_its_memory_and_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials_module, "LENGTH", 100)
    (result,) = credentials(made.signed())
    assert "hold more than 100 bytes" in str(result.value)
    if sys.platform == "linux":
        monkeypatch.setattr(credentials_module, "MEMORY", 1 << 20)
        (result,) = credentials(made.signed())
        assert "made their reader fail" in str(result.value)


def thumbnails(picture: Image.Image, extra: bytes = b"") -> list[tuple[str, str]]:
    """What comes of an ingredient's thumbnail, with more bytes behind it."""
    file = io.BytesIO()
    picture.save(file, "PNG" if picture.mode == "1" else "JPEG")
    data = signing.signed(made.jpeg(), ingredient=made.jpeg(), thumbnail=file.getvalue() + extra)
    return without_thumbnails(credentials(data)[-1])[1]


def test_a_thumbnail_is_made_small_and_written_anew() -> None:
    ((title, uri),) = thumbnails(Image.new("RGB", (400, 300), "red"), b"<script>")
    assert title == "the original"
    data = base64.b64decode(uri.partition(",")[2])
    small = Image.open(io.BytesIO(data))
    assert small.size == (128, 96)
    assert small.getpixel((9, 9)) == pytest.approx((255, 0, 0), abs=3)
    assert b"<script>" not in data


def test_a_thumbnail_of_many_pixels_is_left_out() -> None:
    assert thumbnails(Image.new("1", (7000, 5700)))
    assert not thumbnails(Image.new("1", (7000, 5800)))


def test_only_pictures_in_the_text_itself_are_shown() -> None:
    rows = [{"title": "a", "thumbnail": "https://example.org/a.jpg"}, "b"]
    statements = Declared(name="ingredients", value=rows, source="C2PA", state="signed, valid")
    assert without_thumbnails(statements) == ([{"title": "a", "thumbnail": None}, "b"], [])
    other = statements.model_copy(update={"name": "settings"})
    assert without_thumbnails(other) == (rows, [])


@pytest.mark.parametrize("actions", [5, ["c2pa.created"], {"a": 1}, None])
def test_statements_of_any_shape_are_a_sentence(
    actions: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assertion = {"label": "c2pa.actions", "data": {"actions": actions}}
    manifest = {"assertions": [assertion], "claim_generator": "a program"}
    store = {"active_manifest": "a", "manifests": {"a": manifest}}
    monkeypatch.setattr(
        credentials_module, "_read_in_process", lambda *_: {"store": store, "thumbnails": {}}
    )
    statements = {item.name: (item.value, item.state) for item in credentials(made.signed())}
    assert statements["actions"] == ("Some actions have a form that is not known here.", "not read")
    assert statements["claim_generator"] == ("a program", "signed, issuer not trusted")


@pytest.mark.parametrize(
    "store", [{}, {"manifests": {}}, {"manifests": []}, {"manifests": {"a": 1}}]
)
def test_credentials_without_a_manifest_are_a_sentence(
    store: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        credentials_module, "_read_in_process", lambda *_: {"store": store, "thumbnails": {}}
    )
    (result,) = credentials(made.signed())
    assert "have a form that is not known here" in str(result.value)
    assert result.state == "not read"


def test_a_file_without_credentials_starts_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials_module, "_read_in_process", lambda *_: pytest.fail("was asked"))
    assert credentials(made.jpeg()) == []


@pytest.mark.parametrize("module", ["c2pa", "defusedxml", "cv2"])
def test_a_missing_package_is_one_sentence(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = inspection.PACKAGES[module]
    monkeypatch.delitem(inspection.PACKAGES, module)
    monkeypatch.setitem(inspection.PACKAGES, "absent_" + module, package)
    with pytest.raises(MissingExtra, match=rf"'{package}'.*sida\[provenance\]"):
        inspect(made.jpeg())


def test_arrays_and_pillow_images_declare_nothing() -> None:
    data = made.jpeg(exif=made.camera())
    with Image.open(io.BytesIO(data)) as image:
        provenance = inspect(image)
    assert provenance.declared == ()
    assert provenance.measured


def test_nothing_of_the_library_is_left_behind() -> None:
    before = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()
    credentials(made.signed())
    after = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()
    assert after == before


@settings(max_examples=40)
@given(st.data())
def test_a_file_that_is_broken_anywhere_is_told_or_refused(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([made.jpeg(exif=made.camera()), made.png(*made.NOVEL)]))
    paths = st.dictionaries(st.integers(0, len(case) - 1), st.integers(0, 255), max_size=9)
    broken = bytearray(case)
    for path, value in data.draw(paths).items():
        broken[path] = value
    with contextlib.suppress(PictureError):
        inspect(bytes(broken)).model_dump_json()


NAMES = st.sampled_from(
    ["active_manifest", "manifests", "a", "assertions", "label", "data", "actions", "ingredients",
     "claim_generator_info", "signature_info", "issuer", "validation_status", "code", "title",
     "validation_results", "activeManifest", "failure", "digitalSourceType", "softwareAgent"]
)  # fmt: skip
SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=200)
@given(manifest=st.dictionaries(NAMES, SHAPES), status=SHAPES, results=SHAPES)
def test_credentials_of_any_shape_are_told_or_a_sentence(
    manifest: object, status: object, results: object
) -> None:
    store = {
        "active_manifest": "a",
        "manifests": {"a": manifest},
        "validation_status": status,
        "validation_results": results,
    }
    with pytest.MonkeyPatch.context() as patch:
        answer = {"store": store, "thumbnails": {}}
        patch.setattr(credentials_module, "_read_in_process", lambda *_: answer)
        for statements in credentials(b"jumb c2pa"):
            statements.model_dump_json()
