"""The adding problem: remember two marked numbers of T, and give their sum at the end.

x^(t) = (value, mark); two marks in a sequence, one in each half; y = the marked values'
sum. Always answering 1 gives a mean squared error of 1/6 = 0.167, so a lower one needs
memory. Hochreiter and Schmidhuber (1997), experiment 4, in the form of Le, Jaitly and
Hinton (2015), arXiv:1504.00941.

    python examples/adding_problem.py --length 200
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from bptt.train import DataRequest, TrainingOptions, open_data, print_report, train

N_SEQUENCES = 20_000


def make_sequences(n, length, seed):
    """x (n, length, 2) and y (n, 1), float32."""
    random = np.random.default_rng(seed)
    x = np.zeros((n, length, 2), np.float32)
    x[:, :, 0] = random.random((n, length))
    half = length // 2
    first, second = random.integers(0, half, n), random.integers(half, length, n)
    rows = np.arange(n)
    x[rows, first, 1] = x[rows, second, 1] = 1
    y = x[rows, first, 0] + x[rows, second, 0]
    return x, y[:, None]


def main():
    """Make the data, train, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / f"adding-{given.length}.npz"
    x, y = make_sequences(N_SEQUENCES, given.length, given.seed)
    np.savez(file, x=x, y=y)
    options = TrainingOptions(
        cell=given.cell,
        n_h=64,
        n_b=32,
        epochs=given.epochs,
        learning_rate=given.learning_rate,
        held_out=0.05,
        test=0.05,
        seed=given.seed,
    )
    console, request = Console(), DataRequest((file,))
    folder = given.out / f"adding-{given.length}-{given.cell}"
    report = train(open_data(request), options, folder, console, request)
    print_report(report, console)
    print(f"always answering 1: {np.mean((y - 1) ** 2):.4f}")


if __name__ == "__main__":
    main()
