"""The embedded Reber grammar: the second symbol comes back second to last.

Between the two lies a string of the Reber grammar of any length. A symbol counts as
predicted when it is among the two likeliest (at most two may follow); the hard one, T
or P second to last, when it is likelier than the other. Hochreiter and Schmidhuber
(1997), experiment 1, where an LSTM with 3 or 4 memory blocks solves it after 8,440 to
39,740 sequences in 97 to 100 of 100 trials.

    python examples/reber_grammar.py
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from bptt.train import DataRequest, TrainingOptions, open_data, print_report, train
from bptt.train.run_folder import read_run

SYMBOLS = "BTPSXVE"
# state -> the (symbol, next state) pairs that may follow; None ends the string
EDGES = {
    0: (("B", 1),),
    1: (("T", 2), ("P", 3)),
    2: (("S", 2), ("X", 4)),
    3: (("T", 3), ("V", 5)),
    4: (("X", 3), ("S", 6)),
    5: (("P", 4), ("V", 6)),
    6: (("E", None),),
}


def draw_string(random):
    """B T (a Reber string) T E, or the same with P."""
    outer = random.choice(["T", "P"])
    inner, state = "", 0
    while state is not None:
        symbol, state = EDGES[state][random.integers(len(EDGES[state]))]
        inner += symbol
    return "B" + outer + inner + outer + "E"


def make_sequences(n, seed):
    """x (n, tau), the next symbols y, and lengths (n,)."""
    random = np.random.default_rng(seed)
    strings = [draw_string(random) for _ in range(n)]
    tau = max(map(len, strings)) - 1
    x, y = np.zeros((n, tau), np.int64), np.zeros((n, tau), np.int64)
    for row, string in enumerate(strings):
        tokens = [SYMBOLS.index(symbol) for symbol in string]
        x[row, : len(tokens) - 1], y[row, : len(tokens) - 1] = tokens[:-1], tokens[1:]
    return x, y, np.array([len(string) - 1 for string in strings])


def count_right(folder, x, y, lengths):
    """How many strings have the hard symbol right, out of how many."""
    saved = read_run(folder, "best")
    run = saved.model.cell.forward(saved.parameters, {"x": x.T, "y": y.T})
    rows, t = np.arange(len(x)), lengths - 2  # it predicts the symbol before E
    o = run[saved.model.scores][t, rows]
    truth = y[rows, t]
    other = np.where(
        truth == SYMBOLS.index("T"), SYMBOLS.index("P"), SYMBOLS.index("T")
    )
    return int((o[rows, truth] > o[rows, other]).sum()), len(x)


def main():
    """Make the data, train, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--n-h", type=int, default=16)
    parser.add_argument("--sequences", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "reber.npz"
    x, y, lengths = make_sequences(given.sequences, given.seed)
    np.savez(file, x=x, y=y, lengths=lengths)
    options = TrainingOptions(
        cell=given.cell,
        n_h=given.n_h,
        n_b=2,
        epochs=3,
        learning_rate=0.01,
        held_out=0.1,
        seed=given.seed,
    )
    console, request = Console(), DataRequest((file,))
    folder = given.out / f"reber-{given.cell}-{given.seed}"
    report = train(open_data(request), options, folder, console, request)
    print_report(report, console)
    right, n = count_right(folder, *make_sequences(1000, given.seed + 1))
    print(f"the symbol second to last: {right} of {n} new strings right")


if __name__ == "__main__":
    main()
