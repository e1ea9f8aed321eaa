"""Finding Ray's processes, and those in which its workers judge; Linux only."""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["below", "judging"]


def judging(driver: int) -> list[int]:
    """Ids of the workers of a driver that has started Ray by itself."""
    tree = dict(_parents())
    return [pid for pid, parent in tree.items() if _judges(pid) and tree.get(parent) == driver]


def below(process: int) -> set[int]:
    """Ids of all processes that one has started, and that those have."""
    pids = {process}
    tree = dict(_parents())
    while children := {pid for pid, parent in tree.items() if parent in pids} - pids:
        pids |= children
    return pids - {process}


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (folder / "stat").read_text().rsplit(")", 1)[1]
        except OSError:  # it has ended
            continue
        yield int(folder.name), int(after_name.split()[1])


def _judges(pid: int) -> bool:
    try:
        return b"ray::_Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
