"""Ctrl-C and SIGTERM in a sweep: each process is told once, then killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bptt.train.children import Children
from bptt.train.files import try_lock
from bptt.train.sweep import FAILED, LEFT, STOPPED, WAITS, WENT_ON, Job, run_sweep

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

# Writes its number, answers SIGINT with its last word, and stays otherwise.
PATIENT = """
import signal, sys, time
def stop(*_):
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
print("ready", flush=True)
time.sleep(60)
"""
ALONE = "import os; print(os.getsid(0) == os.getpid())"
DEAF = PATIENT.replace("sys.exit(130)", "pass")


@pytest.fixture(autouse=True)
def hangups():
    """SIGHUP ends a process here, also where nohup started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def seen(path, word, count=1):
    deadline = time.monotonic() + 60
    while path.read_text().split().count(word) < count:
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.02)


def send_when(ready, *numbers):
    """Each once what comes before it is answered: two that are pending are one."""

    def send():
        for number, is_ready in zip(numbers, ready, strict=True):
            is_ready()
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if os.name != "nt" else []


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_stops_each_process_once_and_begins_no_more(tmp_path, number):
    heard, codes = [], []
    logs = [tmp_path / "a", tmp_path / "b"]
    for log in logs:
        log.touch()

    def work(children, log):
        with log.open("w") as output:
            codes.append(children.run([sys.executable, "-c", PATIENT], output, {}))

    before = [signal.getsignal(one) for one in NUMBERS]
    with Children(heard.append) as children:
        threads = [threading.Thread(target=work, args=(children, log)) for log in logs]
        for thread in threads:
            thread.start()
        sender = send_when([lambda: [seen(log, "ready") for log in logs]], number)
        for thread in (sender, *threads):
            thread.join(60)
        assert children.run([sys.executable, "-c", PATIENT], None, {}) is None
    assert codes == [130, 130]
    assert heard == [2]
    assert [log.read_text().split() for log in logs] == [["ready", "saved"]] * 2
    assert before == [signal.getsignal(one) for one in NUMBERS]


def test_the_second_signal_kills(tmp_path):
    log, codes = tmp_path / "a", []
    answered, ended = threading.Event(), threading.Event()
    log.touch()

    def work(children):
        with log.open("w") as output:
            codes.append(children.run([sys.executable, "-c", DEAF], output, {}))
        ended.set()  # an interrupted Thread.join may take the thread for ended

    def wait(children):
        threading.Thread(target=work, args=(children,)).start()
        ready = (lambda: seen(log, "ready"), lambda: answered.wait(60))
        send_when(ready, signal.SIGINT, signal.SIGINT)
        ended.wait(60)
        time.sleep(1)

    with (
        pytest.raises(KeyboardInterrupt),
        Children(lambda n: answered.set()) as children,
    ):
        wait(children)
    assert ended.wait(60)
    assert codes == [-signal.SIGKILL]


def test_a_second_hangup_kills_nothing_and_a_dead_terminal_is_no_error():
    def answer(n):
        raise OSError("no terminal")

    with Children(answer) as children:
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
        assert children.is_stopping


def test_a_hangup_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Children(lambda n: None) as children:
            signal.raise_signal(signal.SIGHUP)
            assert not children.is_stopping
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_that_python_does_not_know_is_left(monkeypatch):
    install, before = signal.signal, {n: signal.getsignal(n) for n in NUMBERS}

    def unknown(*given):
        install(*given)

    monkeypatch.setattr(signal, "signal", unknown)
    try:
        with Children(lambda n: None) as children:
            assert list(children._previous.values()) == [None] * len(NUMBERS)
    finally:
        for number, handler in before.items():
            install(number, handler)


def test_a_terminals_signal_reaches_no_process_of_a_sweep(tmp_path):
    log = tmp_path / "a"
    with log.open("w") as output, Children(lambda n: None) as children:
        command = [sys.executable, "-c", ALONE]
        assert children.run(command, output, {}) == 0
    assert log.read_text() == "True\n"


def sweep_of(tmp_path, monkeypatch, codes):
    """Jobs that end with such codes, the last of them while the sweep is stopped."""

    def run(self, command, output, env):
        assert not self.is_stopping
        code = codes.pop(0)
        print("what was wrong", file=output, flush=True)
        if not codes:
            os.kill(os.getpid(), signal.SIGINT)
            seen_stop(self)
        return code

    monkeypatch.setattr(Children, "run", run)
    return [Job(tmp_path / f"seed={n}", {"seed": n}) for n in range(3)]


def seen_stop(children):
    deadline = time.monotonic() + 60
    while not children.is_stopping:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("code", "how", "reason"),
    [
        (130, STOPPED, ""),
        (-signal.SIGINT, STOPPED, ""),
        (2, FAILED, "what was wrong"),
        (1, FAILED, "what was wrong"),
        (-9, FAILED, "what was wrong"),
    ],
)
def test_a_sweep_that_is_stopped_says_what_is_left(
    code, how, reason, tmp_path, monkeypatch
):
    jobs, told, heard = sweep_of(tmp_path, monkeypatch, [0, code]), [], []
    found = run_sweep(tmp_path, jobs, 1, told.append, heard.append)
    assert [one.how for one in found] == [WENT_ON, how, LEFT]
    assert found[1].reason == reason
    assert [one.is_left for one in found] == [False, how == STOPPED, True]
    assert told == found[:2]
    assert len(heard) == 1


def test_a_sweep_is_stopped_also_while_it_waits_for_another(tmp_path, monkeypatch):
    jobs, told = sweep_of(tmp_path, monkeypatch, []), []
    with (tmp_path / "seed=0.log").open("w") as held:
        assert try_lock(held.fileno())

        def tell(outcome):
            told.append(outcome.how)
            os.kill(os.getpid(), signal.SIGTERM)

        found = run_sweep(tmp_path, jobs, 1, tell)
    assert told == [WAITS]
    assert [one.how for one in found] == [LEFT] * 3


def test_a_lock_that_a_child_inherits_outlives_its_owner(tmp_path):
    """So a sweep that was killed leaves its runs locked as long as they go on."""
    with (tmp_path / "log").open("a") as log:
        assert try_lock(log.fileno())
        child = subprocess.Popen([sys.executable, "-c", "input()"],
                                 stdin=subprocess.PIPE, stdout=log)  # fmt: skip
    with (tmp_path / "log").open("a") as again:
        assert not try_lock(again.fileno())
        child.communicate(b"\n")
        assert try_lock(again.fileno())
