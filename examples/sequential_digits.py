"""Sequential digits: an image read pixel by pixel, its class told at the end.

scikit-learn's bundled images are 8 x 8, so 64 steps; the published figures, 97 % of an
IRNN and 98 % or more of gated cells, are for MNIST's 784 steps and 60,000 images
(Le, Jaitly and Hinton 2015, arXiv:1504.00941), of which these are a small relative.

    python examples/sequential_digits.py
    python examples/sequential_digits.py --permuted     the pixels in one random order
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits

from bptt.train import DataRequest, TrainingOptions, open_data, print_report, train


def main():
    """Make the data, train, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--permuted", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    name = "permuted" if given.permuted else "digits"
    file = given.out / f"{name}.npz"
    digits = load_digits()
    x = (digits.data / 16).astype(np.float32)[:, :, None]
    if given.permuted:  # one order for all images, the same with every seed
        x = x[:, np.random.default_rng(92916).permutation(x.shape[1])]
    np.savez(file, x=x, y=digits.target)
    options = TrainingOptions(
        cell=given.cell,
        n_h=64,
        n_b=32,
        epochs=given.epochs,
        learning_rate=0.006,
        validations=1,
        held_out=0.1,
        test=0.2,
        seed=given.seed,
    )
    console, request = Console(), DataRequest((file,))
    folder = given.out / f"{name}-{given.cell}-{given.seed}"
    report = train(open_data(request), options, folder, console, request)
    print_report(report, console)


if __name__ == "__main__":
    main()
