"""Splits in which no original is on two sides, with every class shared out evenly."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sida.data.sample import Sample
from sida.errors import ConfigError

__all__ = ["SHARES", "assign_splits", "parse_shares"]

SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def assign_splits(
    samples: Sequence[Sample], shares: Mapping[str, float] = SHARES, seed: int = 0
) -> list[str]:
    """The split of each sample: all of one group go to one, those without a group go alone.

    Large groups are placed first, each where its classes are most missing; groups of one size come
    in an order that the seed and their names decide. The result depends on nothing else.

    Args:
        samples: a whole set.
        shares: split -> its share; they sum to 1.
        seed: another one gives other splits.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        key = f"picture {sample.name}" if sample.group is None else f"group {sample.group}"
        members[key].append(index)
    order = sorted(members, key=lambda key: (-len(members[key]), _rank(key, seed)))
    total = Counter(sample.label for sample in samples)
    missing = {
        name: {label: share * count for label, count in total.items()}
        for name, share in shares.items()
    }
    chosen = [""] * len(samples)
    for key in order:
        own = Counter(samples[index].label for index in members[key])
        split = max(missing, key=lambda name: _need(missing[name], own, shares[name], total))
        for label, count in own.items():
            missing[split][label] -= count
        for index in members[key]:
            chosen[index] = split
    return chosen


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{key}".encode()).hexdigest()


def _need(
    missing: Mapping[str, float], own: Mapping[str, int], share: float, total: Mapping[str, int]
) -> float:
    """How much a split lacks of what a group has, as a share of what it shall have."""
    return sum(n * missing[label] / (share * total[label]) for label, n in own.items())


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
