"""A run that is killed again and again, as a program.

`python killed.py FOLDER SEED [CELL KILLS]`: 20 kills of the book's network by default.

Every child of this process takes the run up and kills itself with SIGKILL after a
random number of Python events (calls and returns, of C functions too): inside a step,
between the write, the sync and the renaming of a checkpoint, anywhere. Counting events
instead of seconds makes the moments the same on a slow machine. NumPy runs the steps,
so that a child has nothing to compile; samples are short and a sync does not wait.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from bptt.cell import Cell
from bptt.execute.dispatch import REFERENCE
from bptt.train import PlainText, TrainingOptions, resume, train
from bptt.train.run_folder import read_run
from tests.train.short_runs import shorten

shorten()
for method in (Cell.forward, Cell.gradient, Cell.run_gradient, Cell.run_forward):
    method.__kwdefaults__["executor"] = REFERENCE

CELL, N_KILLS = (sys.argv[3], int(sys.argv[4])) if sys.argv[4:] else ("book", 20)
OPTIONS = TrainingOptions(
    cell=CELL,
    n_h=3,
    n_b=2,
    tau=3,
    k1=2,
    epochs=2,
    held_out=0.2,
    validations=3,
    checkpoint_every=4,
)
TEXT = PlainText("the cat sat on the mat, the dog ran. " * 5, source="lines", n_files=1)
QUIET = Console(quiet=True)


def go_on(folder):
    """Take the run up, or begin it if its folder was never made."""
    if folder.exists():
        return resume(folder, QUIET, TEXT)
    return train(TEXT, OPTIONS, folder, QUIET)


class Countdown:
    """Counts events; at zero the process is gone."""

    def __init__(self, left):
        self.left = left

    def __call__(self, *_):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run_child(folder, events):
    """Whether a child was killed before it came to the end."""
    child = os.fork()
    if child == 0:
        sys.setprofile(Countdown(events))
        go_on(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main():
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    go_on(folder / "straight")  # also imports what is imported late
    counter = Countdown(0)
    sys.setprofile(counter)
    go_on(folder / "counted")
    sys.setprofile(None)
    events = -counter.left
    random = np.random.default_rng(seed)
    kills = 0
    windows = []
    while kills < N_KILLS:
        if not run_child(folder / "killed", int(random.integers(1, events // 5))):
            break
        kills += 1
        if (folder / "killed").exists():
            windows.append(read_run(folder / "killed").checkpoint.position)
    resume(folder / "killed", QUIET, TEXT)
    print(kills, len(set(windows)))


if __name__ == "__main__":
    main()
