"""SIGINT asks first and insists the second time."""

import signal
import subprocess
import sys
import threading

import pytest

from bptt.train import interrupt
from bptt.train.interrupt import StopOnInterrupt, in_a_thread, is_native_work_left


def test_the_first_interrupt_is_a_request_and_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with StopOnInterrupt() as stop:
        assert not stop.requested
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_interrupt_raises():
    with StopOnInterrupt():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_another_thread_changes_no_handler():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter():
        with StopOnInterrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_first_interrupt_is_answered_at_once_and_once():
    answers = []
    with StopOnInterrupt(lambda: answers.append("stopping")) as stop:
        signal.raise_signal(signal.SIGINT)
        assert (answers, stop.requested) == (["stopping"], True)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert answers == ["stopping"]


def interrupted(work, pieces):
    """`in_a_thread` with a Ctrl-C once the work has begun."""
    begun = threading.Event()

    def begin(given):
        begun.set()
        work(given)

    def press():
        begun.wait()
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        in_a_thread(begin, pieces)


def test_after_ctrl_c_work_in_a_thread_gets_no_more_pieces_and_has_ended():
    def endless():
        while True:
            yield "piece"

    interrupted(lambda pieces: [None for _ in pieces], endless())
    assert not is_native_work_left()


def test_work_that_does_not_end_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(interrupt, "GRACE", 0.01)
    free = threading.Event()
    interrupted(lambda pieces: free.wait(), ())
    assert is_native_work_left()
    free.set()


def test_a_mistake_in_a_thread_is_raised_where_it_is_awaited():
    with pytest.raises(ZeroDivisionError):
        in_a_thread(lambda pieces: 1 / sum(map(len, pieces)), [""])


def test_the_command_line_ends_at_once_beside_work_that_returns_later():
    script = """
import atexit, signal, time
from bptt.cli import app
from bptt.train import interrupt
def work(pieces):
    signal.raise_signal(signal.SIGINT)
    time.sleep(60)
interrupt.GRACE = 0.01
app.app = lambda **given: interrupt.in_a_thread(work, ())
atexit.register(print, "Python ended")
app.main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (130, ""), ended.stderr
    assert ended.stderr.strip() == "bptt: stopped"
