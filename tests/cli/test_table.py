"""Verdicts as a person reads them."""

import pytest

from sida.cli.table import Row, columns, plain, render
from sida.verdict import (
    Explanation,
    Label,
    Localization,
    ModelInfo,
    Position,
    Probabilities,
    Region,
    Verdict,
)


def verdict(
    *positions: Position,
    label: Label = "tampered",
    inconclusive: bool = False,
    complete: bool = True,
) -> Verdict:
    regions = [Region(box=(0, 0, 1, 1), area=0.1, score=0.9, position=item) for item in positions]
    return Verdict(
        width=9,
        height=9,
        label=label,
        probabilities=Probabilities(
            **{"real": 0.25, "full_synthetic": 0.25, "tampered": 0.25, label: 0.5}
        ),
        inconclusive=inconclusive,
        localization=Localization(area=0.125, threshold=0.5, regions=tuple(regions)),
        explanation=Explanation(text="Why.", complete=complete),
        model=ModelInfo(name="m", version="1", digest="d"),
        warnings=("first of 12 frames",),
        seconds=0,
    )


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ((), "nothing"),
        (("upper left",), "12.5 %: upper left"),
        (("upper left", "upper left"), "12.5 %: upper left"),
        (
            ("upper left", "lower right", "upper left", "middle centre", "lower left"),
            "12.5 %: upper left, lower right and 2 more",
        ),
    ],
)
def test_where_a_picture_was_altered(positions: tuple[Position, ...], words: str) -> None:
    assert Row.of("a.jpg", verdict(*positions)).cells[-1] == words


def test_a_mask_of_a_picture_that_is_not_called_tampered_is_in_brackets() -> None:
    row = Row.of("a.jpg", verdict("upper left", label="real"))
    assert row.cells[-1] == "(12.5 %: upper left)"
    assert render([row]).splitlines()[-1].startswith("(…) where it would be altered")
    assert "(…)" not in render([Row.of("a.jpg", verdict("upper left"))])


def test_warnings_and_text_stand_below_the_table() -> None:
    output = render([Row.of("a.jpg", verdict(complete=False, inconclusive=True))])
    assert output.splitlines()[1].split()[:3] == ["a.jpg", "tampered", "?"]
    assert output.splitlines()[2:] == [
        *("", "a.jpg: Why. […]", "", "a.jpg: first of 12 frames", ""),
        "? inconclusive: by its own calibration the model is unsure here.",
    ]


def test_a_warning_about_many_pictures_is_said_once() -> None:
    output = render([Row.of("a.jpg", verdict()), Row.of("b.jpg", verdict())])
    assert output.splitlines()[-1] == "2 pictures: first of 12 frames"


def test_long_names_are_not_cut() -> None:
    name = "folder/" * 40 + "a.jpg"
    first, *lines = columns(("Picture", "Verdict"), [(name, "real")]).splitlines()
    assert first.split() == ["Picture", "Verdict"]
    assert "".join(line.split()[0] for line in lines) == name


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert plain("a\x1b[31m\tb\r\n\u202ec") == "a\\x1b[31m\\tb\\r\n\\u202ec"
