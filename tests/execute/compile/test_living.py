"""The executables that somebody holds: how they go, and who counts them meanwhile."""

import sys
import threading
from collections import deque

import pytest

from bptt.execute.compile import compiler
from bptt.execute.compile.compiler import Executable, drop_spare, living


def make():
    """One with nothing but its spare memory."""
    made = object.__new__(Executable)
    for name in ("pool", "memories"):
        object.__setattr__(made, name, deque([bytearray(7)]))
    return made


def test_an_executable_goes_without_a_line_of_python_and_is_forgotten_by_the_next():
    """What a signal asks for is run between lines, and lost in a finaliser."""
    held = [make()]
    compiler._note(held[0])
    (known,) = (one for one in compiler._LIVING if one() is held[0])
    seen, before = [], sys.gettrace()
    sys.settrace(lambda frame, *_: seen.append(frame.f_code.co_name))
    try:
        held.clear()
    finally:
        sys.settrace(before)
    assert not seen
    assert known() is None
    following = make()
    compiler._note(following)
    assert known not in compiler._LIVING
    assert following in living()
    drop_spare()
    assert not following.pool
    assert not following.memories


@pytest.fixture
def impatient():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_spare_memory_is_dropped_while_another_thread_compiles(impatient):
    over = threading.Event()

    def compile_on():
        while not over.is_set():
            compiler._note(make())

    thread = threading.Thread(target=compile_on)
    thread.start()
    kept = [make() for _ in range(50)]
    try:
        for one in kept:
            compiler._note(one)
        for _ in range(300):
            assert len(living()) >= len(kept)
    finally:
        over.set()
        thread.join()
