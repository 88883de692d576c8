"""Ctrl-C while XLA calls: it interrupts once, and tears no call."""

import signal
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import os, signal, sys
import jax, numpy as np
FINITE = True  # such calls go through Python, each time
import bptt, bptt.jax.run as run

cell = bptt.cells.elman
params = cell.init(n_x=2, n_h=3, dtype=np.float32)
f = bptt.jax.recurrent(cell, check_finite=FINITE)
x = np.ones((4, 2, 2), np.float32)
gradient = jax.jit(jax.grad(lambda p: f(p, {"x": x}).nodes["h"].sum()))
exact = jax.block_until_ready(gradient(params))
calls = []

def interrupted(name, times):
    whole = getattr(run, name)
    def call(*a):
        calls.append(name)
        if len(calls) in times:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(*a)
    setattr(run, name, call)
"""


def run_python(code, *, is_served=False):
    program = PROGRAM.replace("FINITE = True", f"FINITE = {not is_served}")
    return subprocess.run(
        [sys.executable, "-c", program + textwrap.dedent(code)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["_forward", "_backward"])
def test_an_interrupt_inside_a_call_is_raised_once_and_nothing_is_wrong(name):
    """The handler counts: a program of two calls hears one Ctrl-C once."""
    ended = run_python(f"""
        heard = []
        def handler(number, frame):
            heard.append(number)
            raise KeyboardInterrupt
        signal.signal(signal.SIGINT, handler)
        interrupted({name!r}, [1])
        try:
            jax.block_until_ready(gradient(params))
        except KeyboardInterrupt:
            print("raised", len(heard))
        assert signal.getsignal(signal.SIGINT) is handler
        again = gradient(params)
        print(all(np.array_equal(again[k], exact[k]) for k in exact), len(heard))
    """)
    assert ended.stdout.split() == ["raised", "1", "True", "1"], ended.stderr
    assert ended.stderr == ""


@pytest.mark.parametrize("is_served", [False, True])
def test_interrupts_at_any_time_neither_kill_nor_corrupt(is_served):
    """Signals from a thread, wherever they fall; each ends one round, or none.

    The handler raises inside a round alone: between two nobody would catch it.
    """
    ended = run_python(
        """
        import threading, time
        sys.setswitchinterval(1e-5)
        stop, sent, rounds, inside = threading.Event(), 0, 0, False
        def handler(number, frame):
            global inside
            if inside:
                inside = False
                raise KeyboardInterrupt
        signal.signal(signal.SIGINT, handler)
        def send():
            global sent
            while not stop.wait(0.003):
                sent += 1
                os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=send).start()
        heard = wrong = 0
        for _ in range(400):
            try:
                inside = True
                found = gradient(params)
                wrong += not all(np.array_equal(found[k], exact[k]) for k in exact)
                inside = False
                rounds += 1
            except KeyboardInterrupt:
                heard += 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop.set()
        print(wrong, heard > 0, rounds > 0, heard <= sent)
    """,
        is_served=is_served,
    )
    assert ended.stdout.split() == ["0", "True", "True", "True"], ended.stderr[-3000:]


def test_what_another_signal_raises_comes_out_too():
    ended = run_python("""
        def handler(number, frame):
            raise SystemExit("asked to end")
        signal.signal(signal.SIGUSR1, handler)
        whole = run._backward
        def call(*a):
            os.kill(os.getpid(), signal.SIGUSR1)
            return whole(*a)
        run._backward = call
        try:
            gradient(params)
        finally:
            print("left")
        print("never")
    """)
    assert ended.stdout.split() == ["left"]
    assert "asked to end" in ended.stderr
    assert ended.returncode == 1


def test_an_ignored_interrupt_stays_ignored():
    ended = run_python("""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interrupted("_backward", [1])
        again = gradient(params)
        print(all(np.array_equal(again[k], exact[k]) for k in exact))
    """)
    assert ended.stdout.split() == ["True"], ended.stderr
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
