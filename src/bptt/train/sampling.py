"""Writing text, or tokens, with a trained model, one step at a time."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.train.checkpoint import BEST, LAST, path_of
from bptt.train.data.entries import Entries
from bptt.train.errors import (
    CellNotTrainableError,
    IgnoredOptionError,
    NotSampledError,
    OptionError,
)
from bptt.train.fitting import reads_targets_back
from bptt.train.model import Model, find_scores
from bptt.train.network import Forward
from bptt.train.run_folder import SavedRun, read_run

Logits = npt.NDArray[np.floating]


class Sampler:
    """A model that reads a prompt and continues it.

    The state after every step is handed to the next call (`run.final`), so a text of
    any length takes the memory of one step. The target y only feeds the loss, which is
    not used here: zeros are given for it. Without a vocabulary the model is one of
    tokens, and text is numbers with spaces.
    """

    def __init__(
        self,
        model: Model,
        parameters: Mapping[str, npt.NDArray[np.floating]],
        vocabulary: Entries | None,
        forward: Forward | None = None,
    ) -> None:
        """Hold the model; nothing is computed yet.

        forward: what computes its values, the cell's own where none is given.
        Raises: CellNotTrainableError if its loss is not nll(softmax(o), y).
        """
        self._model = model
        self._parameters = parameters
        self._vocabulary = vocabulary
        self._scores = find_scores(model)
        self._forward = forward or model.cell.forward

    def write(
        self,
        prompt: str,
        length: int,
        *,
        temperature: float = 1.0,
        seed: int = 0,
        top_k: int | None = None,
        separator: str | None = None,
    ) -> Iterator[str]:
        """Yield `length` characters that follow the prompt, as they are drawn.

        Of a model of words or byte pairs it is so many of them, as text; of tokens
        without a vocabulary numbers, each with the separator behind it, a space.

        p_k = exp(o_k / temperature) / sum_j exp(o_j / temperature); temperature 0
        takes the most likely character. top_k: draw among the so many likeliest alone.
        An empty prompt stands for a new line (for tokens: token 0). The entry for
        unknown characters is never drawn: it has no character to write.
        Raises: OptionError if length, temperature or seed is negative, top_k below 1,
        or a prompt of tokens is not numbers.
        """
        if length < 0:
            raise OptionError("--length", length, "a whole number from 0")
        if not 0 <= temperature < np.inf:
            raise OptionError("--temperature", temperature, "a number from 0")
        if seed < 0:
            raise OptionError("--seed", seed, "a whole number from 0")
        if top_k is not None and top_k < 1:
            raise OptionError("--top-k", top_k, "a whole number from 1")
        if separator is not None and self._vocabulary is not None:
            why = "a model of text writes text"
            raise IgnoredOptionError("--separator", why)
        tokens = self._encode(prompt)
        gap = " " if separator is None else separator
        return self._draw(tokens, length, temperature, seed, top_k, gap)

    def opening(self, prompt: str, separator: str | None = None) -> str:
        """The prompt as what is written goes on from it: numbers with a separator."""
        if self._vocabulary is not None:
            return prompt
        gap = " " if separator is None else separator
        return "".join(f"{word}{gap}" for word in prompt.split())

    def _encode(self, prompt: str) -> npt.NDArray[np.int64]:
        if self._vocabulary is not None:
            found = self._vocabulary.encode(prompt)
            return found if len(found) else self._vocabulary.encode("\n")
        try:
            return np.array([int(word) for word in prompt.split() or ["0"]])
        except ValueError as error:
            expected = "numbers of tokens with spaces between them"
            raise OptionError("--prompt", prompt, expected) from error

    def _draw(
        self,
        tokens: npt.NDArray[np.int64],
        length: int,
        temperature: float,
        seed: int,
        top_k: int | None,
        separator: str,
    ) -> Iterator[str]:
        random = np.random.default_rng(seed)
        known = self._vocabulary
        excluded = None if known is None else known.unknown
        write = (lambda n: f"{n}{separator}") if known is None else known.writer(tokens)
        state = None
        for _ in range(length):
            x = tokens.reshape(-1, 1)  # (tau, n_b = 1): the prompt, then one step
            given = {"x": x, "y": np.zeros_like(x)}
            inputs = self._model.cell.draw(self._parameters, given, mean=True)
            run = self._forward(self._parameters, inputs, initial=state)
            state = run.final
            # An o of more entries than the vocabulary has no text for the others.
            o = run[self._scores][-1, 0, : None if known is None else len(known)]
            token = draw(o, temperature, random, top_k=top_k, excluded=excluded)
            tokens = np.array([token])
            yield write(token)


def open_run(folder: Path, checkpoint: str | None = None) -> Sampler:
    """Open a run folder to write text with its model.

    checkpoint: "best" or "last"; without, the best if there is one.
    Raises: RunNotFoundError, DamagedRunError, DamagedCheckpointError, NotSampledError
    if the model's target is not its next token, TrainExtraMissingError without
    safetensors, and the errors of the language if the equations were changed.

    >>> "".join(open_run(Path("runs/one")).write("def ", 80))  # doctest: +SKIP
    """
    saved = read_run(folder, best_or_last(folder) if checkpoint is None else checkpoint)
    return writer_of_run(saved)


def writer_of_run(saved: SavedRun) -> Sampler:
    """A sampler of a run that learned its own next input.

    Raises: NotSampledError for another one, and the errors of `writer_of`.
    """
    form = saved.form
    horizon = saved.config.get("data", {}).get("horizon")
    is_next = horizon == 1 and form.x_is_token and not form.shapes
    if saved.kind == "sequences" and not is_next:
        raise NotSampledError(saved.folder, saved.kind)
    return writer_of(saved.model, saved.parameters, saved.vocabulary)


def writer_of(
    model: Model, parameters: Mapping[str, Logits], vocabulary: Entries | None
) -> Sampler:
    """A sampler of a model whose o depends on what it has read alone.

    Raises: CellNotTrainableError if its loss is not nll(softmax(o), y), or its o
    depends on y.
    """
    sampler = Sampler(model, parameters, vocabulary)
    if reads_targets_back(model.cell, find_scores(model)):
        found = "its o depends on y, a target that nobody knows when text is written"
        fix = "In text y[t-1] is x[t]: write x in its place."
        raise CellNotTrainableError(model.name, found, fix)
    return sampler


def best_or_last(folder: Path) -> str:
    """The checkpoint to use where the person names none."""
    return BEST if path_of(folder, BEST).is_file() else LAST


def draw(
    o: Logits,
    temperature: float,
    random: np.random.Generator,
    *,
    top_k: int | None = None,
    excluded: int | None = None,
) -> int:
    """Draw an entry from unnormalised log-probabilities o, shape (n_o,)."""
    scores = o.astype(np.float64)
    if excluded is not None:
        scores[excluded] = -np.inf
    if temperature == 0 or top_k == 1:
        return int(scores.argmax())
    if top_k is not None and top_k < len(scores):
        # Exactly k entries, also where scores are equal.
        rest = np.argsort(-scores, kind="stable")[top_k:]
        scores[rest] = -np.inf
    # The largest score is taken off first: exp never overflows, and is never all 0.
    weights = np.exp((scores - scores.max()) / temperature)
    cumulative = weights.cumsum()
    drawn = np.searchsorted(cumulative, random.random() * cumulative[-1], side="right")
    return int(drawn)
