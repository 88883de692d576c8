"""SIGINT asks first and insists the second time."""

import signal
import threading

import pytest

from bptt.train.interrupt import StopOnInterrupt


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
