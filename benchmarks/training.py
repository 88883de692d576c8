"""Time one step of training, data and optimiser included, beside torch.nn.

python -m benchmarks.training [--cell lstm] [--shape 100,32,256,256] [--rounds 9]

A step reads a batch of sequences, computes loss and gradient, clips it by its norm and
moves the parameters with Adam. torch.nn has the same layer, a Linear read-out and
cross_entropy on every step, clip_grad_norm_ and the same Adam. One thread each; samples
are interleaved, and the medians are reported.
"""

import argparse
import time
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from bptt.train import TrainingOptions
from bptt.train.clipping import clip_by_global_norm
from bptt.train.data.form import Form
from bptt.train.data.sequences import Batches, Sequences
from bptt.train.data.windows import Truncation, plan_epoch, weights_of
from bptt.train.loop import Learner
from bptt.train.model import build_model
from bptt.train.optimiser import Optimiser

MODULES = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
N_CLASSES = 10
RATE = 1e-3
WARM_UP = 2


def parse_shape(text):
    """`100,32,256,256` as (tau, n_b, n_x, n_h)."""
    return tuple(map(int, text.split(",")))


def make_data(shape, n_batches=4):
    """Batches of random sequences with a class per step."""
    tau, n_b, n_x, _ = shape
    random = np.random.default_rng(0)
    x = random.normal(size=(n_b * n_batches, tau, n_x)).astype(np.float32)
    y = random.integers(0, N_CLASSES, (n_b * n_batches, tau))
    return Batches(Sequences(list(x), list(y), per_step=True), n_b, seed=0)


class Ours:
    """A step of bptt, and its parts alone."""

    def __init__(self, cell, shape, data):
        form = Form(shape[2], False, "class", N_CLASSES)
        self.model = build_model(TrainingOptions(cell=cell), form)
        options = TrainingOptions(cell=cell, n_h=shape[3])
        self.parameters = self.model.init(form, options)
        self.optimiser = Optimiser("adam", self.parameters, RATE)
        self.learner = Learner(
            self.model.cell, self.parameters, self.optimiser, clip=1.0
        )
        self.data = data
        self.windows = list(plan_epoch(data, 0, Truncation(None, None)))
        self.number = 0

    def step(self):
        """Everything that a window of training does."""
        window = self.windows[self.number % len(self.windows)]
        self.number += 1
        self.learner.learn_window(self.data, window, None, self.number)

    def read(self):
        """The data path: a batch and its weights."""
        window = self.windows[self.number % len(self.windows)]
        block = self.data.read(window.rows, window.start, window.stop)
        return block, weights_of(block, window.scored)

    def update(self, gradient):
        """Clipping and the optimiser."""
        clipped, _ = clip_by_global_norm(gradient, 1.0)
        self.optimiser.step(clipped)

    def gradient(self):
        """A gradient to give to `update`, and how long it took."""
        block, weights = self.read()
        begin = time.perf_counter()
        found = self.model.cell.gradient(
            self.parameters,
            {"x": block.x, "y": block.y},
            weights=weights / weights.sum(),
        )
        named = {name: found[name] for name in self.parameters}
        return named, time.perf_counter() - begin


class Theirs:
    """The same step in torch.nn, on arrays that lie ready in memory."""

    def __init__(self, cell, shape, data):
        import torch

        self.torch = torch
        torch.set_num_threads(1)
        tau, _, n_x, n_h = shape
        self.layer = getattr(torch.nn, MODULES[cell])(n_x, n_h)
        self.out = torch.nn.Linear(n_h, N_CLASSES)
        self.all = [*self.layer.parameters(), *self.out.parameters()]
        self.optimiser = torch.optim.Adam(self.all, lr=RATE)
        blocks = [data.read(rows, 0, tau) for rows in data.groups(0)]
        self.batches = [(torch.from_numpy(b.x), torch.from_numpy(b.y)) for b in blocks]
        self.number = 0

    def step(self):
        """Forward, backward, clip, Adam."""
        torch = self.torch
        x, y = self.batches[self.number % len(self.batches)]
        self.number += 1
        self.optimiser.zero_grad(set_to_none=True)
        o = self.out(self.layer(x)[0])
        loss = torch.nn.functional.cross_entropy(o.flatten(0, 1), y.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.all, 1.0)
        self.optimiser.step()
        return loss.detach()


def timed(run):
    """Seconds of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def measure(cell, shape, rounds):
    """Medians in seconds: step, torch, gradient, read, update."""
    data = make_data(shape)
    ours, theirs = Ours(cell, shape, data), Theirs(cell, shape, data)
    samples = {name: [] for name in ("bptt", "torch.nn", "gradient", "read", "update")}
    for number in range(rounds + WARM_UP):
        found = {"bptt": timed(ours.step), "torch.nn": timed(theirs.step)}
        gradient, found["gradient"] = ours.gradient()
        found["read"] = timed(ours.read)
        found["update"] = timed(lambda g=gradient: ours.update(g))
        if number >= WARM_UP:
            for name, seconds in found.items():
                samples[name].append(seconds)
    return {name: median(values) for name, values in samples.items()}


def describe(cell, shape, seconds):
    """The figures as lines of text."""
    other = seconds["read"] + seconds["update"]
    return (
        f"{cell}, (tau, n_b, n_x, n_h) = {shape}, one thread\n"
        f"  a step of bptt      {1e3 * seconds['bptt']:8.2f} ms\n"
        f"  a step of torch.nn  {1e3 * seconds['torch.nn']:8.2f} ms, "
        f"{seconds['torch.nn'] / seconds['bptt']:.2f} times as long\n"
        f"  of bptt's: gradient {1e3 * seconds['gradient']:8.2f} ms\n"
        f"             data     {1e3 * seconds['read']:8.2f} ms\n"
        f"             clipping and Adam {1e3 * seconds['update']:.2f} ms; with data "
        f"{other / seconds['bptt']:.1%} of the step"
    )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser("benchmarks.training")
    parser.add_argument("--cell", choices=MODULES, default="lstm")
    parser.add_argument("--shape", type=parse_shape, default=(100, 32, 256, 256))
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with threadpool_limits(1):
        found = measure(given.cell, given.shape, given.rounds)
    print(describe(given.cell, given.shape, found))


if __name__ == "__main__":
    main()
