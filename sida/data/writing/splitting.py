"""Splits in which no original is on two sides, with every class shared out evenly.

A splice shows parts of two originals: its own, and its donor's, which the forge's manifest names in
the column `donor_group`. Pictures that share any of these stay together.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sida.data.sample import Sample
from sida.errors import ConfigError, DataError

__all__ = ["SHARES", "assign_splits", "parse_shares"]

DONOR = "donor_group"
SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def assign_splits(
    samples: Sequence[Sample], shares: Mapping[str, float] = SHARES, seed: int = 0
) -> list[str]:
    """The split of each sample: all that share an original go to one, those without go alone.

    Large lots are placed first, each where its classes are most missing; lots of one size come
    in an order that the seed and their names decide. The result depends on nothing else.

    Args:
        samples: a whole set.
        shares: split -> its share; they sum to 1.
        seed: another one gives other splits.

    Raises:
        DataError: so many pictures share originals that a split would be left without any.
    """
    members = _lots(samples)
    # Large lots first, as in bin packing: small ones can still even out what they leave.
    order = sorted(members, key=lambda key: (-len(members[key]), _rank(key, seed)))
    total = Counter(sample.label for sample in samples)
    missing = {
        name: {label: share * count for label, count in total.items()}
        for name, share in shares.items()
    }
    split_names = [""] * len(samples)
    for key in order:
        class_counts = Counter(samples[index].label for index in members[key])
        split = max(
            missing, key=lambda name: _need(missing[name], class_counts, shares[name], total)
        )
        for label, count in class_counts.items():
            missing[split][label] -= count
        for index in members[key]:
            split_names[index] = split
    _require_all(split_names, members, shares)
    return split_names


def _lots(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Indices of the samples that have to stay together, by a name for each such lot."""
    first: dict[str, str] = {}  # towards the original that stands for all that it is joined with

    def root(original: str) -> str:
        while (above := first.setdefault(original, original)) != original:
            first[original] = first[above]  # keeps the ways short
            original = above
        return original

    parts = [_originals(sample) for sample in samples]
    for originals in parts:
        roots = sorted(map(root, originals))
        for other in roots[1:]:
            # Sorted roots make the name of a lot independent of the order of the samples.
            first[other] = roots[0]
    members: dict[str, list[int]] = defaultdict(list)
    for index, originals in enumerate(parts):
        members[root(originals[0])].append(index)
    return members


def _originals(sample: Sample) -> list[str]:
    """Originals that a picture shows parts of; one without a group is an original itself."""
    groups = (sample.group, sample.more.get(DONOR))
    nodes = [f"group {group}" for group in groups if group is not None]
    return nodes if sample.group is not None else [f"picture {sample.name}", *nodes]


def _require_all(
    split_names: Sequence[str], lots: Mapping[str, Sequence[int]], shares: Mapping[str, float]
) -> None:
    empty = [name for name in shares if name not in split_names]
    largest = max(map(len, lots.values()), default=0)
    if empty and len(split_names) >= 2 * len(shares) and largest > len(split_names) / 2:
        raise DataError(
            f"the split {empty[0]} would be empty: {largest} of {len(split_names)} pictures share "
            f"originals (group, {DONOR}) and have to be on one side, expected many small lots: "
            "give fewer splits (--shares), or leave out pictures that join them, such as splices"
        )


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{key}".encode()).hexdigest()


def _need(
    missing: Mapping[str, float],
    class_counts: Mapping[str, int],
    share: float,
    total: Mapping[str, int],
) -> float:
    """How much a split lacks of what a group has, as a share of what it shall have."""
    return sum(n * missing[label] / (share * total[label]) for label, n in class_counts.items())


def parse_shares(text: str) -> dict[str, float]:
    """Shares from a text such as "train=0.8,validation=0.2".

    Raises ConfigError where they are no positive numbers that sum to 1.
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        shares = {name.strip(): float(value) for name, _, value in pairs}
    except ValueError:
        shares = {}
    names_fit = all(re.fullmatch(r"[\w.-]+", name) for name in shares)
    if not shares or not names_fit or min(shares.values()) <= 0 or len(shares) < len(pairs):
        raise ConfigError(f"the shares are {text!r}, expected such as train=0.8,validation=0.2")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(
            f"the shares {text!r} sum to {sum(shares.values()):g}, expected 1: change one of them"
        )
    return shares
