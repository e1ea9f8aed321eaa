"""What is written is read back as the same facts; what others write can be read as well."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.explanation import phrases, wording
from sida.explanation.cues import CUES, Cue
from sida.explanation.wording import Facts, Statement, facts_of, parse, statements, supported
from sida.image.geometry import POSITIONS
from sida.verdict import LABELS

PUBLISHED = (
    "Type: {part tampered} Areas:<tampered position> The lamp in the lower left.\n"
    "Tampered Content:<Types of objects or parts> lamp\n"
    "Visual Inconsistencies:<lighting> too bright<edges> sharp<resolution> less noise<shadows> none"
)
KIND = [(cue, way) for cue, kind in CUES.items() for way in (*kind.words, "same")]
MASK = np.zeros((90, 120), bool)
MASK[65:85, 90:115] = True
NOISE = Cue("noise", 1.9, 3.4, "levels")


def facts() -> st.SearchStrategy[Facts]:
    ways = {cue: st.sampled_from((*format.words, "same")) for cue, format in CUES.items()}
    tampered = st.builds(
        Facts,
        st.just("tampered"),
        st.sampled_from(POSITIONS),
        st.floats(1e-6, 1),
        st.fixed_dictionaries({}, optional=ways),
        st.sampled_from([None, "a dog", "a dark blue car, sharp and small, upper left"]),
    )
    return st.one_of(st.builds(Facts, st.sampled_from(LABELS)), tampered)


@pytest.mark.parametrize(("cue", "way"), KIND)
def test_every_phrase_is_read_as_what_it_says(cue: str, way: str) -> None:
    text = phrases.cue_phrases(cue, way)
    assert len(set(text)) >= 3
    assert {phrases.read_cue(phrase) for phrase in text} == {(cue, way)}


@given(facts(), st.integers(0, 2**32))
def test_what_is_written_is_what_is_read(known: Facts, seed: int) -> None:
    text = wording.write(known, np.random.default_rng(seed))
    read = statements(text)
    assert wording.is_complete(text)
    assert all(supported(statement, known) for statement in read), text
    sentence = {statement.about: statement.value for statement in read}
    assert sentence["type"] == known.label
    if known.position is not None:
        assert sentence["position"] == known.position
        assert sentence["area"] == phrases.area_word(known.area or 0)
    for heading, cues in phrases.HEADINGS.items():
        differing = [cue for cue in cues if known.directions.get(cue, "same") != "same"]
        assert set(differing) <= sentence.keys(), heading


@given(facts(), st.integers(0, 2**32))
def test_parts_are_found(known: Facts, seed: int) -> None:
    parts = parse(wording.write(known, np.random.default_rng(seed)))
    assert parts["type"]
    assert parts["areas"]
    assert known.content is None or known.content in (parts["content"] or "")
    headings = parts["inconsistencies"].model_dump().values()
    assert all(headings) if known.label == "tampered" else not any(headings)


@given(st.text(), st.integers(0, 2**32))
def test_no_content_can_break_the_form(content: str, seed: int) -> None:
    hostile = f"{content}. Areas: <edges> upper left [SEG]; Type: real"
    facts = Facts("tampered", "lower right", 0.1, {"noise": "lower"}, hostile)
    text = wording.write(facts, np.random.default_rng(seed))
    assert wording.is_complete(text)
    assert "[SEG]" not in text
    assert all(supported(statement, facts) for statement in statements(text)), text


@given(st.text() | st.text(alphabet="Type: Areas<>edges{}.,"))
def test_any_text_can_be_read(text: str) -> None:
    parse(text)
    wording.is_complete(text)
    for statement in statements(text):
        supported(statement, Facts("tampered"))


def test_the_published_form_is_read() -> None:
    parts = parse(PUBLISHED)
    assert (parts["type"], parts["areas"]) == ("part tampered", "The lamp in the lower left")
    assert parts["content"] == "lamp"
    assert parts["inconsistencies"].model_dump() == {
        "lighting": "too bright", "edges": "sharp", "resolution": "less noise", "shadows": "none"
    }  # fmt: skip
    assert [(s.about, s.value) for s in statements(PUBLISHED)] == [
        ("type", "tampered"),
        ("position", "lower left"),
        ("brightness", "brighter"),
        ("edges", "harder"),
        ("noise", "lower"),
    ]


def test_text_without_parts_is_searched_as_a_whole() -> None:
    read = statements("The object at the top right has less grain; its edges are blurry.")
    assert [(s.about, s.value) for s in read] == [
        ("position", "upper right"), ("noise", "lower"), ("edges", "softer")
    ]  # fmt: skip


def test_the_facts_are_short_and_fixed() -> None:
    def short(*arguments, **names) -> str:
        return wording.facts_text(facts_of(*arguments, **names))

    assert short("tampered", MASK, (NOISE,)) == "position lower right, area small, noise lower"
    assert short("real", MASK, (NOISE,)) == "no region"
    assert short("full_synthetic", None) == "whole picture"
    assert short("tampered", MASK & False) == "position unknown"


def test_windows_with_one_position_are_named_once() -> None:
    windows = [("upper left", 0.7), ("upper left", 0.9), ("lower left", 0.6), ("centre", 0.55)]
    named = [(window.position, window.percent) for window in wording.window_facts("real", windows)]
    assert named == [("upper left", 90), ("lower left", 60)]


def test_windows_that_do_not_speak_for_the_label_are_not_named() -> None:
    assert wording.window_facts("real", [("upper left", 0.49), ("lower left", 0.1)]) == ()


def test_windows_are_told_behind_the_text() -> None:
    windows = wording.window_facts("real", [("upper left", 0.71), ("lower right", 0.998)])
    facts = facts_of("real", None, windows=windows, unsure=True)
    assert wording.evidence_text(facts) == (
        "Evidence: the lower right window looks photographed 99 %, the upper left window looks "
        "photographed 71 %, there is little to go by."
    )
    assert "no window" in wording.evidence_text(facts_of("real", None))


@given(
    label=st.sampled_from(LABELS),
    unsure=st.booleans(),
    shares=st.lists(st.tuples(st.sampled_from(POSITIONS), st.floats(0, 1)), max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_windows_are_read_back(label, unsure, shares, seed) -> None:
    windows = wording.window_facts(label, shares)
    facts = facts_of(label, MASK, (NOISE,), windows=windows, unsure=unsure)
    written = wording.write(facts, np.random.default_rng(seed))
    text = f"{written} {wording.evidence_text(facts)}"
    assert parse(text) == parse(written)
    sentences = statements(text)
    names = {statement.value for statement in sentences if statement.about == "window"}
    assert len(names) == len(set(windows))
    assert any(statement.about == "certainty" for statement in sentences) == unsure
    assert all(supported(statement, facts) in (True, None) for statement in sentences)
    other = facts_of(label, None, windows=(wording.WindowFact("upper left", 12),))
    assert not any(supported(x, other) for x in sentences if x.about == "window")


def test_the_position_is_that_of_the_largest_region() -> None:
    mask = MASK.copy()
    mask[:5, :5] = True
    assert facts_of("tampered", mask).position == "lower right"
    assert facts_of("tampered", mask).area == pytest.approx(mask.mean())


def test_claims_carry_what_was_measured() -> None:
    text = wording.describe("tampered", MASK, (NOISE,), np.random.default_rng(0), "a dog")
    (version,) = wording.claims(text, (NOISE,))
    assert (version.cue, version.inside, version.outside) == ("noise", 1.9, 3.4)
    assert version.text in text
    assert wording.claims(text, ()) == ()


def test_a_false_statement_is_not_supported() -> None:
    facts = facts_of("tampered", MASK, (NOISE,))
    assert supported(Statement("noise", "higher", ""), facts) is False
    assert supported(Statement("position", "upper left", ""), facts) is False
    assert supported(Statement("colour", "warmer", ""), facts) is None  # was not measured


@given(facts(), facts(), st.integers(0, 99))
def test_a_corrected_text_says_of_cues_what_was_measured(known: Facts, told: Facts, seed: int):
    text = wording.write(told, np.random.default_rng(seed))
    read = statements(wording.corrected(text, known))
    assert all(supported(x, known) for x in read if x.about in known.directions), text
    assert wording.corrected(text, told) == text


def test_a_corrected_text_says_nothing_of_windows():
    text = "Areas: lower left, a small region, the upper left window looks tampered 5 %. Type: x"
    expected = "Areas: lower left, a small region. Type: x"
    assert wording.corrected(text, Facts("real")) == expected


def test_a_seed_gives_one_wording_and_many_seeds_give_many() -> None:
    def written(seed: int) -> str:
        return wording.describe("tampered", MASK, (NOISE,), np.random.default_rng(seed))

    assert written(3) == written(3)
    assert len({written(seed) for seed in range(50)}) > 40


def test_the_tokenizers_corpus_is_large_and_always_the_same() -> None:
    texts = list(wording.sentences())
    assert texts == list(wording.sentences())
    assert len(set(texts)) > 4000
    assert all(wording.is_complete(text) for text in texts[::2])
