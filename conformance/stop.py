"""Being asked to end: SIGINT and SIGTERM, told apart from a loss function that raises KeyboardInterrupt itself."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether this process has been asked to end. As a context manager it listens, in the main thread only.

    Attributes:
        asked: whether a signal came.
        interrupt: whether a signal raises KeyboardInterrupt at once; else it is only noted, for a loop to look at.
    """

    def __init__(self, *, interrupt: bool) -> None:
        self.asked = False
        self.interrupt = interrupt
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may listen; elsewhere whoever runs the main thread decides.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            # None is a handler that Python did not install and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self.asked = True
        if self.interrupt:
            raise KeyboardInterrupt
