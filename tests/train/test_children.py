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
from bptt.train.sweep import LEFT, STOPPED, WAITS, WENT_ON, Job, run_sweep

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


def seen(path, word, count=1):
    deadline = time.monotonic() + 60
    while path.read_text().split().count(word) < count:
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.02)


def send_when(ready, *numbers):
    def send():
        ready()
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_each_process_once_and_begins_no_more(tmp_path, number):
    heard, codes = [], []
    logs = [tmp_path / "a", tmp_path / "b"]
    for log in logs:
        log.touch()

    def work(children, log):
        with log.open("w") as output:
            codes.append(children.run([sys.executable, "-c", PATIENT], output, {}))

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with Children(heard.append) as children:
        threads = [threading.Thread(target=work, args=(children, log)) for log in logs]
        for thread in threads:
            thread.start()
        sender = send_when(lambda: [seen(log, "ready") for log in logs], number)
        for thread in (sender, *threads):
            thread.join(60)
        assert children.run([sys.executable, "-c", PATIENT], None, {}) is None
    assert codes == [130, 130]
    assert heard == [2]
    assert [log.read_text().split() for log in logs] == [["ready", "saved"]] * 2
    assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]


def test_the_second_signal_kills(tmp_path):
    log, codes, ended = tmp_path / "a", [], threading.Event()
    log.touch()

    def work(children):
        with log.open("w") as output:
            codes.append(children.run([sys.executable, "-c", DEAF], output, {}))
        ended.set()  # an interrupted Thread.join may take the thread for ended

    def wait(children):
        threading.Thread(target=work, args=(children,)).start()
        send_when(lambda: seen(log, "ready"), signal.SIGINT, signal.SIGINT)
        ended.wait(60)
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt), Children(lambda n: None) as children:
        wait(children)
    assert ended.wait(60)
    assert codes == [-signal.SIGKILL]


def test_a_terminals_signal_reaches_no_process_of_a_sweep(tmp_path):
    log = tmp_path / "a"
    with log.open("w") as output, Children(lambda n: None) as children:
        command = [sys.executable, "-c", ALONE]
        assert children.run(command, output, {}) == 0
    assert log.read_text() == "True\n"


def sweep_of(tmp_path, monkeypatch, codes):
    def run(self, command, output, env):
        assert not self.is_stopping
        code = codes.pop(0)
        if code == 130:
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


def test_a_sweep_that_is_stopped_says_what_is_left(tmp_path, monkeypatch):
    jobs, told, heard = sweep_of(tmp_path, monkeypatch, [0, 130]), [], []
    found = run_sweep(tmp_path, jobs, 1, told.append, heard.append)
    assert [one.how for one in found] == [WENT_ON, STOPPED, LEFT]
    assert [one.is_left for one in found] == [False, True, True]
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
