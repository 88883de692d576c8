"""Copy memory: repeat ten symbols after a silence of T steps.

x: ten symbols of eight, T - 1 blanks, one "go", ten blanks; y: T + 10 blanks, then
the ten symbols. A network without memory reaches 10 ln 8 / (T + 20) nats per step,
0.0204 at T = 1000. Hochreiter and Schmidhuber (1997); Arjovsky, Shah and Bengio (2016),
arXiv:1511.06464, whose LSTM stays there at T = 1000; so does this one. The norms of the
gradient on h^(t), printed at the end, show why: hardly any of it reaches the symbols.

    python examples/copy_memory.py --length 1000
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from bptt.train import DataRequest, TrainingOptions, open_data, print_report, train
from bptt.train.run_folder import read_run

N_SYMBOLS, N_COPIED = 8, 10
BLANK, GO = 8, 9


def make_sequences(n, length, seed):
    """x and y, (n, length + 20), integers from 0 to 9."""
    random = np.random.default_rng(seed)
    symbols = random.integers(0, N_SYMBOLS, (n, N_COPIED))
    x = np.full((n, length + 2 * N_COPIED), BLANK)
    y = np.full_like(x, BLANK)
    x[:, :N_COPIED] = symbols
    x[:, N_COPIED + length - 1] = GO
    y[:, -N_COPIED:] = symbols
    return x, y


def print_norms(folder, x, y):
    """The norm of the gradient of the last ten losses on h^(t), at a few t."""
    saved = read_run(folder)
    model = saved.model
    begun = model.init(saved.form, saved.options)
    tau = x.shape[1]
    weights = np.where(np.arange(tau) >= tau - N_COPIED, 1 / N_COPIED / len(x), 0)
    t = [1, 5, 10, *range(tau // 4, tau - 20, tau // 4), tau - 10, tau]
    for name, parameters in (("at first", begun), ("trained", saved.parameters)):
        inputs = {"x": x.T, "y": y.T}
        found = model.cell.gradient(parameters, inputs, weights=weights, nodes=("h",))
        norms = np.linalg.norm(found.nodes["h"], axis=(1, 2))
        shown = ", ".join(f"t={at} {norms[at - 1]:.0e}" for at in t)
        print(f"‖∇_h(t) L‖ of the ten losses that need memory, {name}: {shown}")


def main():
    """Make the data, train, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / f"copy-{given.length}.npz"
    x, y = make_sequences(4000, given.length, given.seed)
    np.savez_compressed(file, x=x, y=y)
    options = TrainingOptions(
        cell=given.cell,
        n_h=64,
        n_b=16,
        epochs=given.epochs,
        learning_rate=0.003,
        held_out=0.05,
        validations=1,
        seed=given.seed,
    )
    console, request = Console(), DataRequest((file,))
    folder = given.out / f"copy-{given.length}-{given.cell}"
    report = train(open_data(request), options, folder, console, request)
    print_report(report, console)
    no_memory = N_COPIED * np.log(N_SYMBOLS) / (given.length + 2 * N_COPIED)
    print(f"without memory: {no_memory:.4f} nats per step")
    print_norms(folder, x[:8], y[:8])


if __name__ == "__main__":
    main()
