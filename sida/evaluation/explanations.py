"""How well explanations agree with what was measured, and with the set's own words.

A text is held against its own verdict, never against the truth: the position and the size that it
states against the predicted mask, the type against the label, what it says of cues against what was
measured inside the mask and outside it. Where the set has descriptions, words are compared, too.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sida.errors import CheckpointError, optional_package
from sida.evaluation.metrics import Floats, Score
from sida.evaluation.predictions import FailedPrediction, Prediction
from sida.evaluation.scores import FigureName
from sida.explanation.cues import CUES, Cue
from sida.explanation.wording import (
    Facts,
    Statement,
    is_complete,
    statements,
    supported,
    window_facts,
)
from sida.verdict import Explanation

__all__ = [
    "Explanations",
    "Grounding",
    "SentenceEncoder",
    "grounding",
    "rouge_l",
    "sentence_encoder",
]

SentenceEncoder = Callable[[Sequence[str]], NDArray[np.float32]]
"""From texts to their vectors (texts, dim)."""

ABOUT = ("type", "position", "area", "claims", "window")
_GROUPS = {
    "type": "type",
    "certainty": "type",
    "position": "position",
    "area": "area",
    "window": "window",
}
"""Subject of a statement -> its section in `ABOUT`; cues are claims."""
BATCH = 256  # pairs of texts that are compared at a time


@dataclass(frozen=True)
class Grounding:
    """Statements of a text in each section of `ABOUT` that agree, and that disagree.

    `unchecked` counts statements about which nothing was measured.
    """

    agree: tuple[int, ...]
    disagree: tuple[int, ...]
    unchecked: int


def grounding(prediction: Prediction) -> Grounding | None:
    """A text held against its own verdict; None without a text."""
    if prediction.explanation is None:
        return None
    facts = _facts(prediction, prediction.explanation)
    agree, disagree, unchecked = [0] * len(ABOUT), [0] * len(ABOUT), 0
    for statement in statements(prediction.explanation.text):
        section = ABOUT.index(_GROUPS.get(statement.about, "claims"))
        borne_out = _borne_out(statement, prediction, facts)
        if borne_out is None:
            unchecked += 1
        else:
            (agree if borne_out else disagree)[section] += 1
    return Grounding(tuple(agree), tuple(disagree), unchecked)


def _facts(prediction: Prediction, explanation: Explanation) -> Facts:
    """Facts of a verdict, and of what its claims measured."""
    localization = prediction.localization
    directions = {
        measured.cue: Cue(
            measured.cue, measured.inside, measured.outside, CUES[measured.cue].unit
        ).direction
        for measured in explanation.claims
        if measured.cue in CUES
    }
    position, area = None, None
    if localization is not None and localization.regions:
        position, area = localization.regions[0].position, localization.area
    weighed = prediction.evidence.windows if prediction.evidence else ()
    windows = window_facts(
        prediction.label, [(w.position, w.probabilities[prediction.label]) for w in weighed]
    )
    return Facts(
        prediction.label, position, area, directions, None, windows, prediction.inconclusive
    )


def _borne_out(statement: Statement, prediction: Prediction, facts: Facts) -> bool | None:
    """As `supported`; but where the verdict marks nothing, no place can be right."""
    localization = prediction.localization
    nowhere = prediction.label != "tampered" or (
        localization is not None and not localization.regions
    )
    if statement.about == "position" and nowhere:
        return False
    return supported(statement, facts)


_WORD = re.compile(r"\w+")


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L: the F measure of the longest common subsequence of lower-case words, 0 to 1.

    C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries" (2004), section 3, with
    beta = 1; texts without a word score 0. The length comes by H. Hyyrö, "Bit-parallel LCS-length
    computation revisited" (2004).
    """
    words, expected = _WORD.findall(text.lower()), _WORD.findall(reference.lower())
    if not words or not expected:
        return 0.0
    return 2 * _common(words, expected) / (len(words) + len(expected))


def _common(words: Sequence[str], reference: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    # Bit i of a word's number: the word stands at position i of the first text.
    positions: dict[str, int] = {}
    for index, word in enumerate(words):
        positions[word] = positions.get(word, 0) | 1 << index
    every = (1 << len(words)) - 1
    left = every
    for word in reference:
        matches = left & positions.get(word, 0)
        left = (left + matches | left - matches) & every
    return len(words) - left.bit_count()


def sentence_encoder(name: str) -> SentenceEncoder:
    """A sentence-embedding model by its folder or name on the hub.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        CheckpointError: there is no such model, or it cannot be read.
    """
    with optional_package("sentence-transformers", "similarity", "Comparing what texts mean"):
        from sentence_transformers import SentenceTransformer
    try:
        model = SentenceTransformer(
            name, trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    except Exception as error:  # whatever a broken folder or an unreachable hub leads to
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{name!r} cannot be loaded as a sentence-embedding model ({reason}): give a folder "
            "or a name that sentence-transformers knows"
        ) from error
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    return lambda texts: np.asarray(model.encode(list(texts), show_progress_bar=False), np.float32)


def similarities(encoder: SentenceEncoder, pairs: Sequence[tuple[str, str]]) -> Floats:
    """The cosine, -1 to 1, between the two texts of each pair; 0 where a vector is 0."""
    left, right = (
        np.asarray(encoder([pair[i] for pair in pairs]), np.float64).reshape(len(pairs), -1)
        for i in (0, 1)
    )
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray(np.sum(left * right, axis=1) / np.where(lengths > 0, lengths, 1))


class Explanations:
    """Figures of the texts of some predictions, with reasons for those that are missing."""

    def __init__(
        self,
        predictions: Iterable[Prediction | FailedPrediction],
        encoder: SentenceEncoder | None = None,
    ) -> None:
        """Reads predictions once, in the order of the `PredictionRows` that they make."""
        self.count, self.texts = 0, Counter[int]()
        self._encoder = encoder
        self._values: dict[str, list[tuple[int, float, float]]] = {name: [] for name in NAMES}
        hashes: list[tuple[int, int]] = []
        pairs: list[tuple[int, str, str]] = []
        for prediction in predictions:
            if isinstance(prediction, FailedPrediction):
                continue
            index = self.count
            self.count += 1
            if prediction.explanation is None:
                continue
            text = prediction.explanation.text
            # Hashes alone: the texts of a large set do not fit into memory.
            hashes.append((index, hash(text)))
            self._add_text(index, prediction)
            if prediction.truth.description:
                pairs.append((index, text, prediction.truth.description))
            if len(pairs) == BATCH:
                self._compare(pairs)
                pairs = []
        self._compare(pairs)
        self.texts = Counter(number for _, number in hashes)
        for index, number in hashes:
            self._put("repeated_rate", index, self.texts[number] > 1)
        self._arrays = {name: _columns(entries) for name, entries in self._values.items()}

    def _put(self, name: str, index: int, part: float, total: float = 1) -> None:
        self._values[name].append((index, part, total))

    def _add_text(self, index: int, prediction: Prediction) -> None:
        explanation, statements_of_text = prediction.explanation, grounding(prediction)
        assert explanation is not None
        assert statements_of_text is not None
        for section, agree, disagree in zip(
            ABOUT, statements_of_text.agree, statements_of_text.disagree, strict=True
        ):
            self._put(f"{section}_agreement", index, agree, agree + disagree)
        checked = sum(statements_of_text.agree) + sum(statements_of_text.disagree)
        self._put("contradiction_rate", index, any(statements_of_text.disagree))
        self._put(
            "unchecked_rate",
            index,
            statements_of_text.unchecked,
            checked + statements_of_text.unchecked,
        )
        self._put("statements_per_text", index, checked + statements_of_text.unchecked)
        self._put("cut_short_rate", index, not explanation.complete)
        self._put("missing_parts_rate", index, not is_complete(explanation.text))

    def _compare(self, pairs: Sequence[tuple[int, str, str]]) -> None:
        for index, text, reference in pairs:
            self._put("rouge_l", index, rouge_l(text, reference))
        if pairs and self._encoder is not None:
            cosines = similarities(self._encoder, [pair[1:] for pair in pairs])
            for (index, _, _), cosine in zip(pairs, cosines, strict=True):
                self._put("similarity", index, float(cosine))

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        times = np.ones(self.count) if weights is None else weights
        scores: dict[FigureName, Score] = {}
        for name, (indices, parts, wholes) in self._arrays.items():
            total = float(times[indices] @ wholes)
            scores["explanations", name] = float(times[indices] @ parts) / total if total else None
        return scores

    def counts(self) -> dict[str, int]:
        """Numbers of texts, of different ones, and of those with a description to compare."""
        return {
            "texts": self.texts.total(),
            "distinct": len(self.texts),
            "with_reference": len(self._values["rouge_l"]),
        }

    def why_not(self, name: FigureName) -> str:
        """The reason why a figure is missing."""
        if not self.texts:
            return "no prediction has an explanation"
        if name[-1] == "similarity" and self._encoder is None:
            return "no sentence-embedding model was named (--similarity)"
        if name[-1] in ("rouge_l", "similarity"):
            return "no picture with an explanation has a description in the set"
        return f"no text states a {name[-1].split('_')[0]} that can be checked"


NAMES = (
    *(f"{section}_agreement" for section in ABOUT),
    "contradiction_rate",
    "unchecked_rate",
    "statements_per_text",
    "repeated_rate",
    "cut_short_rate",
    "missing_parts_rate",
    "rouge_l",
    "similarity",
)


def _columns(
    entries: Sequence[tuple[int, float, float]],
) -> tuple[NDArray[np.int64], Floats, Floats]:
    table = np.array(entries, np.float64).reshape(-1, 3)
    return table[:, 0].astype(np.int64), table[:, 1], table[:, 2]
