"""Ctrl-C and SIGTERM end a run after the step at hand and a checkpoint."""

import signal
from types import FrameType
from typing import Any

__all__ = ["StopRequest"]


class StopRequest:
    """Whether the process was asked to stop while this context was open; a second Ctrl-C stops
    at once."""

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread, to which signals do not come
                return self
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.asked = number
        signal.signal(number, self._before[number])

    def obey(self) -> None:
        """End the program as the signal would have."""
        self.__exit__()
        if self.asked == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt
