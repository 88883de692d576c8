"""The cells of examples/catalogue, and arrays for each; sizes differ and are >= 2.

Kernels and the reference take every cell through test_against_loops.py, full and
ragged. What is built on these takes a part of the cells, with one of each kind of
syntax; all of them with BPTT_EVERY_CELL=1.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np

from bptt import Cell
from bptt.step.shapes import numbers_of

FOLDER = Path(__file__).parents[2] / "examples" / "catalogue"
SIZES = (3, 2, 5, 4, 9, 17, 6, 7)
TAU, N_B = 4, 3
LENGTHS = (4, 2, 3)
EVERY = bool(os.environ.get("BPTT_EVERY_CELL"))
# One cell of each kind of syntax: a delay, a backward loop, a start, an input of a
# step before, a loss at the end, indices, an integer state, a fixed parameter.
KINDS = (
    "narx", "crf", "vector_to_sequence", "rwkv4", "last_output", "gated_deltanet",
    "lif", "echo_state",
)  # fmt: skip


def part(names, begin, of=3):
    """One of each kind, and of the others every third (or `of`) from `begin` on.

    Tests that begin elsewhere take others: each cell goes through one of three.
    """
    others = [name for name in names if name not in KINDS]
    chosen = {*KINDS, *(others if EVERY else others[begin::of])}
    return [name for name in names if name in chosen]


@cache
def load(name):
    return Cell.load(FOLDER / f"{name}.cell")


def positive(value):
    return np.abs(value) + 0.5


def distribution(value):
    value = np.exp(value)
    return value / value.sum(-1, keepdims=True)


def one_hot(value):
    return np.eye(value.shape[-1])[value.argmax(-1)].astype(value.dtype)


def binary(value):
    return (value > 0).astype(value.dtype)


def covariance(value):
    return value @ value.swapaxes(-1, -2)


def classes(value):
    return (np.abs(value) > 0.5).astype(value.dtype)


def share(value):
    return 1 / (1 + np.exp(-value))


def lengths(value):
    return np.array([6, 1, 4], value.dtype)


def constant(number):
    return lambda value: np.full_like(value, number)


# What a paper says of a value: (cell, name) -> how a drawn one is made so.
MEANT = {
    ("dnc", "w"): distribution, ("dnc", "p"): distribution,
    ("dnc", "w_r"): distribution,
    ("mlstm", "n"): positive, ("slstm", "n"): positive, ("rwkv4", "b"): positive,
    ("teacher_forcing", "y"): distribution, ("conditional", "y"): distribution,
    ("encoder_decoder", "y"): distribution, ("encoder_decoder", "n"): lengths,
    ("own_output", "k"): classes, ("own_output", "g"): binary,
    ("own_output", "u"): share, ("vector_to_sequence", "y"): distribution,
    ("crf", "y"): distribution,
    ("phased_lstm", "p"): positive, ("phased_lstm", "r"): positive,
    ("phased_lstm", "time"): positive, ("gru_d", "m"): binary,
    ("gru_d", "delta"): positive, ("t_lstm", "delta"): positive,
    ("cfc", "delta"): positive, ("ode_rnn", "delta"): positive,
    ("lmu", "theta"): positive, ("stp", "tau_x"): positive, ("stp", "tau_u"): positive,
    ("kalman", "P"): covariance, ("ltc", "rate"): positive, ("ltc", "dt"): positive,
    ("dnc_alloc", "u"): share, ("dnc_alloc", "w"): distribution,
    ("coverage", "cov"): positive, ("ctc", "Z"): one_hot, ("ctc", "skip"): binary,
    ("hawkes", "delta"): positive, ("hawkes", "d"): positive,
    ("pointer_generator", "Z"): distribution, ("pointer_generator", "cov"): positive,
    ("neural_stack", "s"): share, ("neural_stack", "d"): share,
    ("neural_stack", "u"): share,
    ("pendulum", "dt"): constant(0.05), ("lif", "z"): binary, ("alif", "z"): binary,
}  # fmt: skip


def numbers(shape, sizes):
    return numbers_of(shape, sizes)


class Case:
    """Parameters, inputs, initial values and a seed for one cell, drawn once."""

    def __init__(self, name, node, dtype=np.float64, cell=None):
        self.cell, self.name, self.dtype = cell or load(name), name, dtype
        self.rng = np.random.default_rng(5)
        self.sizes = dict(zip(self.cell.dims, SIZES, strict=False))
        graph = self.cell.graph
        self.rows = graph.times.row_inputs
        self.params = {n: self.draw(n, s) for n, s in self.cell.parameters.items()}
        self.inputs = {n: self.draw_input(n, s) for n, s in graph.inputs.items()}
        shapes = {**self.cell.nodes, **self.cell.inputs}
        derived = {*graph.times.hidden, *graph.times.starts}
        self.initial = {
            n: self.draw(n, shapes[n], N_B)
            for n in self.cell.states
            if n not in derived
        }
        self.seeds = {}
        if node != graph.loss:
            self.seeds[node] = self.draw("", self.cell.nodes[node], TAU, N_B)

    def draw(self, name, shape, *lead):
        shape = (*lead, *numbers(shape, self.sizes))
        value = 0.6 * self.rng.standard_normal(shape)
        value = MEANT.get((self.name, name), np.asarray)(value)
        return value.astype(self.dtype)

    def draw_input(self, name, spec):
        lead = (N_B,) if name in self.rows else (TAU, N_B)
        if spec.index is None:
            return self.draw(name, spec.shape, *lead)
        return self.rng.integers(0, numbers((spec.index,), self.sizes)[0], lead)
