"""The leakage probe: how well the class can be told without looking at a single pixel.

A pruned decision tree sees the container alone, and is asked about pictures whose originals it has
not seen (cross-validation in folds by group). Where it does better than chance, a detector trained
on the set may have learned the container, too. One tree, pruned, is steadier than a forest where
there is nothing to find: it then says one class for all, which is exactly chance.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sida.data.checks.traits import Traits
from sida.errors import optional_package
from sida.verdict import LABELS

__all__ = ["NEAR", "Probe", "probe"]

NEAR = 0.03  # this close to chance counts as nothing found
FOLDS, REPEATS = 5, 3
FeatureMatrix = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """Balanced accuracies, 0 to 1; everything is measured on pictures that were held back.

    Attributes:
        accuracy: over the classes that the set has, from format, size and JPEG coding together.
        margin: half the width of its 95 % interval.
        chance: what a guess reaches: one over the number of classes.
        features: what each of the three reaches alone.
        real_vs_not: real against all others, from the same three; chance is 0.5.
        bytes_per_pixel: from file size over pixels alone. It depends on what a picture shows, so
            that it may be above chance in a set that is fair.
        source: from the name of the source alone; None where the set has none.
        grouped: whether the set names originals; without, each picture is its own group.
        formats: label -> format -> share of that class.
        split: the one that it was measured on; None where the set has none.
        not_measured: why nothing could be measured, else None.
    """

    accuracy: float | None = None
    margin: float | None = None
    chance: float | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    real_vs_not: float | None = None
    bytes_per_pixel: float | None = None
    source: float | None = None
    grouped: bool = False
    formats: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    split: str | None = None
    not_measured: str | None = None

    @property
    def leaks(self) -> bool:
        """True if the container gives the class away, beyond what chance explains."""
        if self.accuracy is None or self.chance is None or self.margin is None:
            return False
        return self.accuracy - self.chance > max(NEAR, self.margin)

    def sentences(self) -> list[str]:
        """Sentences on what it means, and what to do about it."""
        if self.accuracy is None or self.chance is None:
            return [f"The leakage probe was not made: {self.not_measured}."]
        shares_right = (
            f"From the container alone (format, size, JPEG coding) the class is told right in "
            f"{self.accuracy:.1%} of cases (balanced over the classes), by chance in "
            f"{self.chance:.1%}"
        )
        if not self.leaks:
            return [f"{shares_right}: it gives nothing away."]
        return [f"{shares_right}: it gives the class away.", *self._remedies()]

    def _remedies(self) -> list[str]:
        strongest = max(self.features, key=lambda name: self.features[name])
        shares = self._format_shares() if strongest == "format" else ""
        remedies = [
            f"Most of it lies in the {strongest}, which alone reaches "
            f"{self.features[strongest]:.1%}{shares}."
        ]
        if self.real_vs_not is not None:
            remedies.append(f"Real pictures are told from all others in {self.real_vs_not:.1%}.")
        remedies.append(
            "A detector trained on this set may learn the container instead of the picture, and "
            "its scores here would not hold elsewhere. To remove it: `sida data export DATA --to "
            "folder --out DIR --equalise` draws format, size and quality by one rule for all."
        )
        return remedies

    def _format_shares(self) -> str:
        shares = [
            f"{label} is {max(counts.values()):.0%} {max(counts, key=lambda f: counts[f])}"
            for label, counts in self.formats.items()
        ]
        return f" ({', '.join(shares)})"

    def as_json(self) -> dict[str, object]:
        """The part `leakage_probe` of the doctor's JSON; what was not measured is left out."""
        report = {name: value for name, value in asdict(self).items() if value is not None}
        if self.not_measured is None:
            report["leaks"] = self.leaks
        else:
            report = {"not_measured": self.not_measured}
        return {**report, "meaning": " ".join(self.sentences())}


def probe(traits: Sequence[Traits], seed: int = 0) -> Probe:
    """Measure how well the class of pictures can be told from their containers.

    Of several splits the one called "train" is taken, else the largest: together they would show
    how the classes are divided over the splits, which no model learns from.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    sizes = Counter(picture.split for picture in traits)
    # Several splits at once would measure how classes are divided over splits.
    split = "train" if "train" in sizes else max(sizes, key=lambda name: sizes[name], default=None)
    traits = [picture for picture in traits if picture.split == split]
    count = Counter(picture.label for picture in traits)
    grouped = any(picture.group is not None for picture in traits)
    groups = _groups(traits)
    labels = np.array([LABELS.index(picture.label) for picture in traits])
    folds = min((len(set(groups[labels == c])) for c in set(labels)), default=0)
    if len(count) < 2 or folds < FOLDS:
        return Probe(
            not_measured=f"it needs pictures of two classes at least, and {FOLDS} originals of "
            f"each, found {', '.join(f'{count[label]} {label}' for label in LABELS)}"
        )
    parts = _features(traits)
    together = np.concatenate(list(parts.values()), axis=1)
    measure = _Measure(labels, groups, seed)
    recalls = measure.recalls(together)
    # Standard error of a mean of independent recalls, each of its class's size.
    error = np.sqrt(sum(r * (1 - r) / count[LABELS[c]] for c, r in recalls.items())) / len(count)
    sources = [picture.source for picture in traits]
    return Probe(
        accuracy=float(np.mean(list(recalls.values()))),
        margin=float(1.96 * error),
        chance=1 / len(count),
        features={name: measure.accuracy(part) for name, part in parts.items()},
        real_vs_not=_Measure(labels != 0, groups, seed).accuracy(together)
        if count["real"]
        else None,
        bytes_per_pixel=measure.accuracy(_bytes_per_pixel(traits)),
        source=measure.accuracy(_one_hot(sources)) if any(sources) else None,
        grouped=grouped,
        formats=_formats(traits),
        split=split,
    )


def _groups(traits: Sequence[Traits]) -> NDArray[np.int64]:
    """A number for each original; a picture without one is its own."""
    names = [
        f"group {picture.group}" if picture.group is not None else f"picture {index}"
        for index, picture in enumerate(traits)
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _features(traits: Sequence[Traits]) -> dict[str, FeatureMatrix]:
    quality = np.array([[picture.quality or 0] for picture in traits], float)
    return {
        "format": _one_hot([picture.format for picture in traits]),
        "size": np.array([[picture.width, picture.height] for picture in traits], float),
        "quality": np.concatenate(
            [quality, _one_hot([picture.coding for picture in traits])], axis=1
        ),
    }


def _bytes_per_pixel(traits: Sequence[Traits]) -> FeatureMatrix:
    return np.array([[picture.bytes / (picture.width * picture.height)] for picture in traits])


def _one_hot(values: Sequence[str | None], limit: int = 50) -> FeatureMatrix:
    """A column for each of the most frequent values."""
    categories = [value for value, _ in Counter(values).most_common(limit)]
    return np.array([[value == category for category in categories] for value in values], float)


def _formats(traits: Sequence[Traits]) -> dict[str, dict[str, float]]:
    shares: dict[str, dict[str, float]] = {}
    for label in LABELS:
        count = Counter(picture.format for picture in traits if picture.label == label)
        if count:
            shares[label] = {name: n / count.total() for name, n in count.most_common()}
    return shares


def _folds(labels: NDArray[np.int_], groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each picture: those of a group in one, every class shared out evenly.

    Groups with the same number of each class are dealt out in turn, in a shuffled order.
    """
    count = int(groups.max()) + 1
    members = np.zeros((count, int(labels.max()) + 1), np.int64)
    np.add.at(members, (groups, labels), 1)
    # Groups of equal content are interchangeable, so dealing them out in turn balances classes.
    class_set = np.unique(members, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((np.random.default_rng(seed).random(count), class_set))
    fold = np.empty(count, np.int64)
    fold[order] = np.arange(count) % FOLDS
    return fold[groups]


class _Measure:
    """Cross-validated recalls of a pruned tree for given labels and folds by group."""

    def __init__(self, labels: NDArray[Any], groups: NDArray[np.int64], seed: int) -> None:
        self.labels = labels.astype(int)
        self.folds = [
            folds == fold
            for folds in (_folds(self.labels, groups, seed + repeat) for repeat in range(REPEATS))
            for fold in range(FOLDS)
        ]

    def accuracy(self, features: FeatureMatrix) -> float:
        """Balanced accuracy: the mean of the recalls."""
        return float(np.mean(list(self.recalls(features).values())))

    def recalls(self, features: FeatureMatrix) -> dict[int, float]:
        """The share of each class that is told right, over all folds and repeats."""
        with optional_package("scikit-learn", "data", "The leakage probe"):
            from sklearn.tree import DecisionTreeClassifier
        count = len(self.labels)
        right, totals = Counter[int](), Counter[int]()
        for test in self.folds:
            tree = DecisionTreeClassifier(
                class_weight="balanced",
                min_samples_leaf=max(5, count // 100),
                # Pruned, so that patterns of single pictures make no leaves of their own.
                ccp_alpha=max(0.003, 3 / count),
                random_state=0,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                predicted = tree.fit(features[~test], self.labels[~test]).predict(features[test])
            truth = self.labels[test]
            totals.update(truth.tolist())
            right.update(truth[predicted == truth].tolist())
        return {label: right[label] / totals[label] for label in sorted(totals)}
