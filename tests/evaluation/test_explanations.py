"""Texts against their verdicts: grounding, words, meaning, and what cannot be measured."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.errors import CheckpointError, MissingExtra
from sida.evaluation import Options, evaluate, run
from sida.evaluation.explanations import (
    Explanations,
    grounding,
    rouge_l,
    sentence_encoder,
    similarities,
)
from sida.evaluation.predictions import Prediction
from sida.explanation.wording import parse
from sida.verdict import Claim, Explanation, Localization, Region
from tests.evaluation.made import prediction, write

SAID = (
    "Type: {type}. Areas: {place}, a {size} area. Tampered Content: not named. Visual "
    "Inconsistencies: <lighting> {light} <edges> not measured <resolution> less noise than around "
    "<shadows> shadow tones as around"
)


def told(folder: Path, index: int = 0, truth: str = "tampered", **said: Any) -> Prediction:
    """A picture called tampered in its lower right, a small area, darker and less noisy there."""
    words = {"type": "tampered", "place": "lower right", "size": "small"}
    words |= {"light": "darker than around"} | said
    text = words.get("text") or SAID.format(**words)
    claims = (
        Claim(cue="brightness", inside=60.0, outside=100.0, text="darker than around"),
        Claim(cue="noise", inside=1.0, outside=3.0, text="less noise than around"),
    )
    region = Region(box=(6, 6, 8, 8), area=0.04, score=0.9, position="lower right")
    result = Localization(area=0.04, threshold=0.5, regions=(region,))
    shares = (0.1, 0.1, 0.8)
    made = prediction(folder, truth, shares, index, description=said.get("description"))
    explanation = Explanation(
        text=text, claims=claims, complete=said.get("complete", True), **parse(text)
    )
    return made.model_copy(update={"localization": result, "explanation": explanation})


def test_what_is_so_agrees(tmp_path: Path) -> None:
    result = grounding(told(tmp_path))
    assert result is not None
    assert result.agree == (1, 1, 1, 2, 0)
    assert result.disagree == (0, 0, 0, 0, 0)
    assert result.unchecked == 1  # shadows were not measured


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"type": "real"}, 0),
        ({"place": "upper left"}, 1),
        ({"size": "huge"}, 2),
        ({"light": "brighter than around"}, 3),
        ({"light": "brightness as around"}, 3),
    ],
)
def test_each_thing_that_is_not_so_disagrees(
    tmp_path: Path, said: dict[str, str], kind: int
) -> None:
    result = grounding(told(tmp_path, **said))
    assert result is not None
    assert [int(i == kind) for i in range(5)] == list(result.disagree)


def test_a_text_is_held_against_the_verdict_and_not_the_truth(tmp_path: Path) -> None:
    assert grounding(told(tmp_path, truth="real")) == grounding(told(tmp_path))


def test_no_place_is_right_where_nothing_is_marked(tmp_path: Path) -> None:
    line = told(tmp_path)
    called_real = prediction(tmp_path, "real", (0.8, 0.1, 0.1), 1)
    text = line.explanation
    result = grounding(called_real.model_copy(update={"explanation": text}))
    assert result is not None
    assert result.disagree[:2] == (1, 1)  # neither the type nor a place
    empty = Localization(area=0.0, threshold=0.5)
    result = grounding(line.model_copy(update={"localization": empty}))
    assert result is not None
    assert result.disagree[1] == 1
    assert grounding(called_real) is None


def test_figures_by_hand(tmp_path: Path) -> None:
    lines = [
        told(tmp_path, 0),
        told(tmp_path, 1),
        told(tmp_path, 2, place="upper left", complete=False),
        told(tmp_path, 3, text="darker"),
        prediction(tmp_path, "real", (0.8, 0.1, 0.1), 4),
    ]
    part = Explanations(lines)
    result = {name[-1]: value for name, value in part(None).items()}
    assert result["position_agreement"] == pytest.approx(2 / 3)
    assert result["type_agreement"] == 1
    assert result["claims_agreement"] == 1
    assert result["contradiction_rate"] == pytest.approx(1 / 4)
    assert result["repeated_rate"] == pytest.approx(2 / 4)
    assert result["cut_short_rate"] == pytest.approx(1 / 4)
    assert result["missing_parts_rate"] == pytest.approx(1 / 4)
    assert result["unchecked_rate"] == pytest.approx(3 / 19)
    assert part.counts() == {"texts": 4, "distinct": 3, "with_reference": 0}
    weights = np.array([0.0, 0, 3, 0, 9])
    assert part(weights)["explanations", "contradiction_rate"] == 1
    assert part(np.zeros(5))["explanations", "contradiction_rate"] is None


def test_rouge_l_of_lins_examples() -> None:
    """Section 3.1 of the paper: 3/4 and 2/4 of words in a common order."""
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", reference) == pytest.approx(2 / 4)
    assert rouge_l("The gunman, police KILLED!", reference) == pytest.approx(2 / 4)
    assert rouge_l("", reference) == rouge_l(reference, "...") == 0


@given(st.lists(st.sampled_from("abcd"), max_size=70), st.lists(st.sampled_from("abcd")))
def test_rouge_l_is_what_the_table_of_the_textbook_gives(one: list[str], other: list[str]) -> None:
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            best = max(table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else best
    expected = 2 * table[-1, -1] / (len(one) + len(other)) if one and other else 0
    assert rouge_l(" ".join(one), " ".join(other)) == pytest.approx(expected)


def letters(texts: Sequence[str]) -> np.ndarray:
    """A stand-in for a model: how often each letter is in a text."""
    return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)


def test_cosines_of_vectors() -> None:
    result = similarities(letters, [("ab", "ba"), ("a", "b"), ("ab", "a"), ("", "a")])
    assert result == pytest.approx([1, 0, np.sqrt(0.5), 0])


def test_words_of_the_set_are_compared_where_there_are_some(tmp_path: Path) -> None:
    first = told(tmp_path)
    assert first.explanation is not None
    lines = [
        told(tmp_path, 0, description=first.explanation.text),
        told(tmp_path, 1, description="qqq"),
        told(tmp_path, 2),
    ]
    part = Explanations(lines, letters)
    result = part(None)
    assert result["explanations", "rouge_l"] == pytest.approx(0.5)
    assert 0.5 <= (result["explanations", "similarity"] or 0) < 0.51
    assert part.counts()["with_reference"] == 2


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    part = Explanations([told(tmp_path, text="nothing to see")])
    result = part(None)
    for name, reason in (
        ("position_agreement", "no text states a position"),
        ("rouge_l", "has a description in the set"),
        ("similarity", "--similarity"),
    ):
        assert result["explanations", name] is None
        assert reason in part.why_not(("explanations", name))
    silent = Explanations([prediction(tmp_path, "real", (0.8, 0.1, 0.1), 0)])
    assert set(silent(None).values()) == {None}
    assert silent.why_not(("explanations", "rouge_l")) == "no prediction has an explanation"


def test_a_whole_evaluation_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(run, "sentence_encoder", lambda name: calls.append(name) or letters)
    lines = [told(tmp_path, index, description="a tampered picture") for index in range(3)]
    options = Options(explanations=True, similarity="some/model")
    evaluate([], tmp_path / "out", predictions=[write(tmp_path, lines)], options=options)
    assert calls == ["some/model"]
    result = json.loads((tmp_path / "out/metrics.json").read_text())
    expected = Explanations(lines, letters)(None)
    for name, figure in result["explanations"].items():
        assert figure["value"] == pytest.approx(expected["explanations", name])
    assert {"rouge_l", "similarity", "position_agreement"} <= set(result["explanations"])
    assert result["explanation_texts"] == {"texts": 3, "distinct": 1, "with_reference": 3}


def test_an_encoder_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sida\[similarity\]'"):
        sentence_encoder("any")


def test_an_encoder_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, name: str, **options: Any) -> None:
            assert options["model_kwargs"] == {"use_safetensors": True}
            assert options["trust_remote_code"] is False
            raise ValueError(f"no {name}\nand more")

    module = type(sys)("sentence_transformers")
    module.SentenceTransformer = Broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    with pytest.raises(CheckpointError, match=r"'x' cannot be loaded .* \(no x\): give"):
        sentence_encoder("x")
