"""Pictures that are there twice: the same file, or the same look."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sida.data.checks.traits import Traits

__all__ = ["DISTANCE", "Twins", "find_twins", "near_pairs", "summary"]

DISTANCE = 4  # of 64 bits; re-compression and resizing change fewer


@dataclass(frozen=True)
class Twins:
    """Pictures that are one and the same: `exact` by their files' bytes, else by their look."""

    members: tuple[Traits, ...]
    exact: bool

    @property
    def splits(self) -> set[str | None]:
        """The splits that they are in."""
        return {picture.split for picture in self.members}

    @property
    def labels(self) -> set[str]:
        """The classes that they are in."""
        return {picture.label for picture in self.members}

    @property
    def one_group(self) -> bool:
        """True if the set itself says that they belong together, as original and forgery do."""
        groups = {picture.group for picture in self.members}
        return len(groups) == 1 and groups != {None}


def find_twins(traits: Sequence[Traits]) -> list[Twins]:
    """All sets of twins: first the exact ones, then those that look alike, larger sets first."""
    by_file = defaultdict(list)
    for picture in traits:
        by_file[picture.sha256].append(picture)
    exact = [Twins(tuple(members), True) for members in by_file.values() if len(members) > 1]
    first = [members[0] for members in by_file.values()]  # one of each file is enough
    looks = [picture.fingerprint for picture in first]
    alike = [
        Twins(tuple(first[index] for index in members), False)
        for members in _joined(len(first), near_pairs(looks))
    ]
    return sorted(exact, key=_size) + sorted(alike, key=_size)


def _size(twins: Twins) -> int:
    return -len(twins.members)


def near_pairs(looks: Sequence[int | None], distance: int = DISTANCE) -> Iterator[tuple[int, int]]:
    """Indices of pairs whose bits differ in at most `distance` places.

    Of `distance` + 1 pieces of the bits one at least is then the same in both, so that only
    pictures that share a piece are compared.
    """
    # Pigeonhole: of distance + 1 bands, one at least has no differing bit.
    bits = np.array([fingerprint or 0 for fingerprint in looks], np.uint64)
    bit_positions = np.array_split(np.arange(64), distance + 1)
    tested: set[tuple[int, int]] = set()
    for band in bit_positions:
        mask = np.uint64(sum(1 << int(bit) for bit in band))
        for members in _buckets(looks, bits & mask):
            for pair in _close(members, bits, distance):
                if pair not in tested:
                    tested.add(pair)
                    yield pair


def _buckets(looks: Sequence[int | None], keys: Any) -> Iterator[list[int]]:
    buckets = defaultdict(list)
    for index, (fingerprint, key) in enumerate(zip(looks, keys.tolist(), strict=True)):
        if fingerprint is not None:
            buckets[key].append(index)
    return (members for members in buckets.values() if len(members) > 1)


def _close(members: list[int], bits: Any, distance: int) -> Iterator[tuple[int, int]]:
    """Pairs within a bucket, one row against the rest at a time."""
    values = bits[members]
    for row in range(len(members) - 1):
        apart = np.bitwise_count(values[row + 1 :] ^ values[row])
        for other in np.flatnonzero(apart <= distance):
            yield members[row], members[row + 1 + int(other)]


def _joined(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Sets of indices that pairs hold together."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for left, right in pairs:
        # Union-find, with paths halved on the way up.
        parent[root(right)] = root(left)
    groups = defaultdict(list)
    for index in range(count):
        groups[root(index)].append(index)
    return [members for members in groups.values() if len(members) > 1]


def summary(twins: Sequence[Twins]) -> Mapping[str, object]:
    """Counts for the JSON: sets, pictures in them, and how many sets cross a border."""

    def count(exact: bool) -> dict[str, int]:
        selection = [twin_set for twin_set in twins if twin_set.exact == exact]
        return {
            "sets": len(selection),
            "pictures": sum(len(twin_set.members) for twin_set in selection),
            "across_splits": sum(len(twin_set.splits) > 1 for twin_set in selection),
            "across_classes": sum(len(twin_set.labels) > 1 for twin_set in selection),
            "not_in_one_group": sum(not twin_set.one_group for twin_set in selection),
        }

    return {"exact": count(True), "alike": {**count(False), "distance": DISTANCE}}
