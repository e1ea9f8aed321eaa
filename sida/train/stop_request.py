"""Ctrl-C and SIGTERM end a run after the step at hand and a checkpoint."""

import signal
from types import FrameType
from typing import Any

__all__ = ["StopRequest"]


class StopRequest:
    """A context that catches SIGINT and SIGTERM; the same one again acts at once.

    Attributes:
        signal_number: of the signal that came; 0 so far.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._handlers[number] = signal.signal(number, self._handle)
            except ValueError:  # not the main thread, to which signals do not come
                return self
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.signal_number = number
        signal.signal(number, self._handlers[number])

    def raise_signal(self) -> None:
        """End the program as the signal would have."""
        self.__exit__()
        if self.signal_number == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt
