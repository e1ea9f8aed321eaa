"""UniqueNames that are unlike each other, for rows of tables."""

from sida.data.problems import Report

__all__ = ["UniqueNames"]


class UniqueNames:
    """Hands out each name once; the second `a` becomes `a~2`, and is reported."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def __call__(self, name: str, report: Report) -> str:
        """The name itself, or the first numbered one that is free."""
        if name not in self._count:
            self._count[name] = 1
            return name
        while (other := f"{name}~{self._count[name] + 1}") in self._count:
            self._count[name] += 1
        self._count[name] += 1
        self._count[other] = 1
        report.add("repeated_name", other, f"an earlier row is called {name!r}, too")
        return other
