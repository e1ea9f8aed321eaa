"""No statement of a file, whatever it says, changes what the network says of its pixels."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sida.detector import Detector, Request
from sida.image.read import read_picture
from sida.inference import engine
from sida.verdict import Verdict
from tests.provenance import made_files as made
from tests.provenance.made_files import CASES, Case
from tests.small import small_detector

BESIDE = {"image", "sha256", "format", "warnings", "provenance", "seconds"}
"""Fields that are about the file, not its pixels."""


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    """It was not trained to end its texts; a few words are enough to compare."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "TEXT_LIMIT", 6)
        yield small_detector()


def verdict_of(detector: Detector, data: bytes, provenance: bool = False) -> Verdict:
    (result,) = detector.run([Request(data, masks="all", explain=True, provenance=provenance)])
    assert isinstance(result, Verdict), result
    return result


def same(first: Verdict, second: Verdict) -> bool:
    """Label, probabilities, mask to the last bit, and explanation."""
    assert first.explanation is not None
    assert first.mask is not None
    assert second.probability_map is not None
    return (
        first.model_dump(exclude=BESIDE) == second.model_dump(exclude=BESIDE)
        and np.array_equal(first.mask, second.mask)
        and np.array_equal(first.probability_map, second.probability_map)
    )


def bare(data: bytes) -> bytes:
    """The same pixels in a file that says nothing."""
    stream = io.BytesIO()
    Image.fromarray(read_picture(data).pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_verdict_is_that_of_the_bare_pixels(case: Case, detector: Detector) -> None:
    data = case.make()
    picture = read_picture(data)
    if case.make is not made.altered:
        plain = read_picture(made.saved(str(picture.format), **made.QUALITY[str(picture.format)]))
        assert np.array_equal(picture.pixels, plain.pixels)
    assert same(verdict_of(detector, data), verdict_of(detector, bare(data)))


def test_asking_for_provenance_changes_nothing_else(detector: Detector) -> None:
    data = made.jpeg(exif=made.camera(inner=made.comment(made.WEB_UI)))
    with_it, without = verdict_of(detector, data, provenance=True), verdict_of(detector, data)
    assert without.provenance is None
    assert with_it.provenance is not None
    assert with_it.provenance.contradictions
    assert same(with_it, without)


@settings(max_examples=15)
@given(
    texts=st.dictionaries(
        st.text("abcdefghij ", min_size=1, max_size=20), st.text(max_size=300), max_size=4
    ),
    tags=st.dictionaries(
        st.sampled_from([0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298]),
        st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=60),
    ),
    packet=st.binary(max_size=300),
)
def test_nor_does_anything_random(
    texts: dict[str, str], tags: dict[int, str], packet: bytes, detector: Detector
) -> None:
    info = made.PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    with_it = made.saved("PNG", pnginfo=info, exif=made.exif(tags))
    assert same(verdict_of(detector, with_it, provenance=True), verdict_of(detector, made.png()))
    assert same(verdict_of(detector, made.jpeg(xmp=packet)), verdict_of(detector, made.jpeg()))
