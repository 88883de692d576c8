"""Ctrl-C ends a training run between two windows, with its parameters saved.

Before that, what a library does without Python in between is done in a thread.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
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


def never() -> bool:
    """What is asked where nobody stops anything."""
    return False


class StoppedError(Exception):
    """Work was left before its end: the person does not wait for it."""


GRACE = 2.0  # seconds that work is waited for after Ctrl-C
_AT_WORK: set[threading.Event] = set()  # set once the work has ended


def in_a_thread(
    work: Callable[..., object], pieces: Iterable[str], *given: object
) -> None:
    """Let a library work on pieces without Python in between, and answer Ctrl-C.

    Ctrl-C ends the pieces and with them the work, soon or never: it is not waited for
    longer than `GRACE`. Raises: what the work raises, KeyboardInterrupt.
    """
    failed: list[BaseException] = []
    # Not Thread.join: interrupted, it may take the thread for ended (bpo-45274).
    stop, ended = threading.Event(), threading.Event()

    def until_stopped() -> Iterator[str]:
        for piece in pieces:
            if stop.is_set():
                raise StoppedError
            yield piece

    def do() -> None:
        try:
            work(until_stopped(), *given)
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            failed.append(error)
        finally:
            _AT_WORK.discard(ended)
            ended.set()

    thread = threading.Thread(target=do, daemon=True)
    _AT_WORK.add(ended)
    try:
        thread.start()
        while not ended.wait(0.2):
            pass
    except KeyboardInterrupt:
        stop.set()
        ended.wait(GRACE)
        raise
    if failed:
        raise failed[0]


def is_native_work_left() -> bool:
    """Whether a library still works in a thread: one that returns aborts an end."""
    return bool(_AT_WORK)
