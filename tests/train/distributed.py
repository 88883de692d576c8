"""One of several processes: `torchrun ... distributed.py CASE FOLDER`.

"learn" trains, then keeps rank 0 from writing its best checkpoint for a while, and
prints the test loss that each rank finds; "killed" kills rank 1 with SIGKILL in its
first life, after seven windows; "hangs" leaves it there without another word.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from bptt.cell import Cell
from bptt.execute.dispatch import REFERENCE
from bptt.train import (
    PlainText,
    SeveralProcessesError,
    TrainingOptions,
    read_sequences,
    train,
)
from bptt.train import loop as loop_module
from bptt.train import session as session_module
from tests.train.short_runs import shorten

TEXT = PlainText(
    "the cat sat on the mat, the dog ran. " * 12, source="lines", n_files=1
)
OPTIONS = TrainingOptions(
    cell="elman",
    n_h=5,
    n_b=3,
    tau=8,
    epochs=2,
    held_out=0.2,
    optimiser="sgd",
    recurrent_dropout=0.2,
    checkpoint_every=3,
    process_timeout=120.0,
)


def sequences(folder):
    """Seven records of different lengths; the last batch has one."""
    random = np.random.default_rng(0)
    file = folder / "x.npz"
    if not file.exists():
        lengths = np.array([3, 8, 5, 8, 2, 7, 6, 4])
        x = random.normal(size=(8, 8, 2))
        y = random.integers(0, 3, 8)
        np.savez(file, x=x, y=y, lengths=lengths)
    return read_sequences("x", [file])


def train_late(folder, quiet):
    write = session_module.write_checkpoint

    def write_late(where, name, checkpoint):
        time.sleep(1.0)
        write(where, name, checkpoint)

    session_module.write_checkpoint = write_late
    return train(TEXT, replace(OPTIONS, test=0.2), folder / "late", quiet).test


def hang(folder):
    original = loop_module.Learner.learn_window

    def learn_window(self, dataset, window, state, number):
        if number == 8 and self.processes.rank == 1:
            # It heeds no exception, but SIGTERM: of one that is stopped, torchrun
            # would wait 30 s for its end.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            while True:
                signal.pause()
        return original(self, dataset, window, state, number)

    loop_module.Learner.learn_window = learn_window
    options = replace(OPTIONS, process_timeout=3.0)
    try:
        train(TEXT, options, folder / "hangs", Console(quiet=True))
    except SeveralProcessesError as error:
        print(error, flush=True)
        sys.exit(2)


def main():
    # A process of its own: no kernels need to be compiled for so little work.
    for method in (Cell.forward, Cell.gradient, Cell.run_gradient, Cell.run_forward):
        method.__kwdefaults__["executor"] = REFERENCE
    shorten()
    case, folder = sys.argv[1], Path(sys.argv[2])
    if case == "killed" and os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
        original = loop_module.Learner.learn_window

        def learn_window(self, dataset, window, state, number):
            if number == 8 and self.processes.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, dataset, window, state, number)

        loop_module.Learner.learn_window = learn_window
    quiet = Console(quiet=True)
    if case == "hangs":
        hang(folder)
    train(TEXT, OPTIONS, folder / case, quiet)
    if case == "learn":
        given = {**vars(OPTIONS), "tau": None, "k1": 3, "held_out": 0.13}
        options = TrainingOptions(**given)
        train(sequences(folder), options, folder / "sequences", quiet)
        print(f"{train_late(folder, quiet):.17g}", flush=True)


if __name__ == "__main__":
    main()
