"""Made-up polyphony of the size of Nottingham: learned by bptt, and by torch, too.

    python examples/polyphony.py --epochs 3

694 training, 173 validation and 170 test rolls of 88 notes, 254 steps long on average:
a chord of two bars and a melody over it, in one of twelve keys. The same GRU of 46
units is learned twice, from the same numbers, with the same batches: by `bptt.train`,
and by torch.nn.GRU with autograd, clip_grad_norm_ and torch's Adam. Only who computes
the gradient differs: a recipe that does worse than another does so in both.
"""

import argparse
import json
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from bptt.train import (
    DataRequest,
    TrainingOptions,
    load,
    open_data,
    print_report,
    train,
)

N_NOTES, N_H, N_B, RATE = 88, 46, 16, 0.006
SIZES = {"train": 694, "validation": 173, "test": 170}
CHORDS = np.array([[0, 4, 7], [5, 9, 12], [7, 11, 14], [-3, 0, 4]])  # I, IV, V, vi
FOLLOWS = np.array([[2, 4, 3, 1], [4, 1, 4, 1], [6, 1, 1, 2], [1, 4, 4, 1]]) / 10
STEPS = np.array([-2, -1, 0, 1, 2])  # of the melody, along the scale
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])


def make_rolls(n, random):
    """x (n, tau, 88) of truths, and lengths (n,)."""
    lengths = np.clip(random.normal(254, 90, n), 60, 600).astype(int)
    x = np.zeros((n, lengths.max(), N_NOTES), bool)
    for roll, length in zip(x, lengths, strict=True):
        key, chord, place = 24 + random.integers(0, 12), 0, 14
        for t in range(0, length, 2):
            if t % 16 == 0:
                chord = random.choice(4, p=FOLLOWS[chord] / FOLLOWS[chord].sum())
            place = np.clip(place + random.choice(STEPS), 7, 27)
            note = key + 12 * (place // 7) + SCALE[place % 7]
            roll[t : t + 2, [*(key + CHORDS[chord]), note]] = True
        roll[length:] = False
    return x, lengths


def learn_in_torch(parts, start, epochs, seed):
    """The loss of every window, and of the validation part after every epoch."""
    p = {n: torch.tensor(v).requires_grad_() for n, v in start.items()}
    adam = torch.optim.Adam(p.values(), RATE)
    n = SIZES["train"]
    total = epochs * -(-n // N_B)

    def factor(window):
        done = (window + 1) / total
        if done <= 0.02:
            return done / 0.02
        return 0.05 + 0.95 * (1 + cos(pi * (done - 0.02) / 0.98)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(adam, factor)
    losses, validated = [], []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(n)
        for first in range(0, n, N_B):
            loss = loss_of(p, parts["train"], order[first : first + N_B])
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
            adam.step()
            schedule.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            rows = np.arange(SIZES["validation"])
            validated.append(float(loss_of(p, parts["validation"], rows)))
    return losses, validated


def loss_of(p, part, rows):
    """Nats per step of some rolls: torch.nn.GRU, and the next step as target."""
    x, lengths = part
    steps = lengths[rows] - 1
    roll = torch.tensor(x[rows, : steps.max() + 1], dtype=torch.float32)
    gru = torch.nn.GRU(N_NOTES, N_H, batch_first=True)
    zeros = torch.zeros_like(p["b_r"])
    named = {
        "weight_ih_l0": torch.cat([p["U_r"], p["U_z"], p["U_n"]]),
        "weight_hh_l0": torch.cat([p["W_r"], p["W_z"], p["W_n"]]),
        "bias_ih_l0": torch.cat([p["b_r"], p["b_z"], p["b_n"]]),
        "bias_hh_l0": torch.cat([zeros, zeros, p["d_n"]]),
    }
    h, _ = torch.func.functional_call(gru, named, (roll[:, :-1],))
    o = p["c"] + h @ p["V"].T
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        o, roll[:, 1:], reduction="none"
    ).sum(-1)
    counts = torch.arange(roll.shape[1] - 1) < torch.tensor(steps)[:, None]
    return (each * counts).sum() / counts.sum()


def main():
    """Make the rolls, learn them twice, and print both curves."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(given.seed)
    parts = {name: make_rolls(n, random) for name, n in SIZES.items()}
    file, run = given.out / "polyphony.npz", given.out / f"polyphony-{given.seed}"
    arrays = {f"x_{name}": x for name, (x, _) in parts.items()}
    np.savez(file, **arrays, **{f"lengths_{n}": v for n, (_, v) in parts.items()})
    options = TrainingOptions(
        cell="gru", n_h=N_H, n_b=N_B, learning_rate=RATE, epochs=given.epochs,
        validations=1, seed=given.seed,
    )  # fmt: skip
    console, request = Console(), DataRequest((file,))
    print_report(train(open_data(request), options, run, console, request), console)
    start = load(run).cell.init(
        n_x=N_NOTES, n_h=N_H, n_o=N_NOTES, seed=given.seed, dtype="float32"
    )
    losses, validated = learn_in_torch(parts, start, given.epochs, given.seed)
    lines = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
    lines = list(lines)
    ours = [one["training_nats_per_step"] for one in lines
            if "training_nats_per_step" in one]  # fmt: skip
    held = [one["validation_nats_per_step"] for one in lines
            if "validation_nats_per_step" in one]  # fmt: skip
    apart = np.abs(np.array(ours[: len(losses)]) - losses)
    print(f"training loss of {len(losses)} windows: apart by at most {apart.max():.1e}")
    for epoch, (a, b) in enumerate(zip(held, validated, strict=False), 1):
        print(f"held out after epoch {epoch}: bptt {a:.4f}, torch {b:.4f}")


if __name__ == "__main__":
    main()
