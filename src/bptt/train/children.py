"""The processes that a sweep has at work, and how a signal ends them.

Each is in a session of its own, so that a terminal's Ctrl-C reaches the sweep alone. It
goes on to every process once, and each ends after its window with everything saved;
the next one ends them at once. So does SIGTERM. SIGHUP, of a terminal that is closed,
only stops them, for a shell may send it once more; nohup's stays ignored. (Windows has
no such sessions: there a console's Ctrl-C reaches all of them by itself.)
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import IO, Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Windows has none.
HANGUP = getattr(signal, "SIGHUP", None)


class Children:
    """Inside this context the first of the signals only stops the processes.

    Outside the main thread Python allows no handler, and nothing changes there.
    Raises: KeyboardInterrupt on the second SIGINT or SIGTERM, with all killed.
    """

    def __init__(self, answer: Callable[[int], object]) -> None:
        """Begin without one; answer: what hears how many are being stopped."""
        self.is_stopping = False
        self._answer = answer
        self._at_work: list[subprocess.Popen[bytes]] = []
        # The handler may find its own thread in it.
        self._lock = threading.RLock()
        self._previous: dict[signal.Signals, Any] = {}

    def run(
        self, command: Sequence[str], output: IO[Any], env: Mapping[str, str]
    ) -> int | None:
        """Run a program to its end; its exit code, or None where none is begun now."""
        with self._lock:
            if self.is_stopping:
                return None
            process = subprocess.Popen(  # noqa: S603  # this very program
                command, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=env, start_new_session=True,
            )  # fmt: skip
            self._at_work.append(process)
        try:
            return process.wait()
        finally:
            with self._lock:
                self._at_work.remove(process)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        with self._lock:
            if self.is_stopping:
                if number == HANGUP:
                    return
                for process in self._at_work:
                    process.kill()
                raise KeyboardInterrupt
            self.is_stopping = True
            for process in self._at_work:
                if os.name != "nt":
                    process.send_signal(signal.SIGINT)
            with suppress(OSError):  # the terminal may be gone
                self._answer(len(self._at_work))

    def __enter__(self) -> Self:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
            if HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
                self._previous[HANGUP] = signal.signal(HANGUP, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the earlier handlers back, of those that Python knows."""
        for number, handler in self._previous.items():
            if handler is not None:
                signal.signal(number, handler)
        self._previous.clear()
