"""The loss of a model on held-out text."""

from collections.abc import Mapping
from math import log

import numpy as np
import numpy.typing as npt

from bptt.cell import Cell
from bptt.train.loop import real_loss
from bptt.train.streams import Streams
from bptt.train.vocabulary import UNKNOWN, Tokens, Vocabulary

# One stream would be exact but slow; with 64 the state starts cold 64 times, which
# costs a few hundredths of a bit on 100 000 characters and makes the figure worse,
# never better.
N_B_VALIDATION = 64
MIN_STEPS = 256  # shorter texts get fewer streams, so that cold starts stay rare


def bits_per_character(
    cell: Cell,
    parameters: Mapping[str, npt.NDArray[np.floating]],
    tokens: Tokens,
    vocabulary: Vocabulary,
    *,
    tau: int,
) -> float:
    """Cross-entropy of the model on a text, in bits per character.

    The state is carried along each stream, and unknown characters are spelled out
    (`Vocabulary.spelling_bits`), as in the baselines. Shape of tokens: (n,).
    """
    n_b = max(1, min(N_B_VALIDATION, (len(tokens) - 1) // MIN_STEPS))
    streams = Streams.cut(tokens, n_b)
    state = None
    nats = 0.0
    for window in streams.windows(tau, keep_last=True):
        inputs = {"x": window.x, "y": window.y}
        run = cell.forward(parameters, inputs, initial=state, reduction="mean")
        nats += real_loss(run.loss) * window.n_characters
        state = run.final
    unknown = float(np.mean(streams.y == UNKNOWN))
    return nats / streams.y.size / log(2) + unknown * vocabulary.spelling_bits
