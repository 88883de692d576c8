"""Ctrl-C ends a training run between two windows, with its parameters saved."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class StopOnInterrupt:
    """Inside this context a first SIGINT only sets `requested`; a second one raises.

    Outside the main thread Python allows no handler, and nothing changes there.
    Raises: KeyboardInterrupt on the second SIGINT.
    """

    def __init__(self, answer: Callable[[], object] = lambda: None) -> None:
        """Start without a request; answer: what the first SIGINT is answered with."""
        self.requested = False
        self._answer = answer
        self._previous: Any = None
        self._is_installed = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._answer()

    def __enter__(self) -> Self:
        """Install the handler."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
            self._is_installed = True
        return self

    def __exit__(self, *_: object) -> None:
        """Put the earlier handler back."""
        if self._is_installed:
            signal.signal(signal.SIGINT, self._previous)
            self._is_installed = False
