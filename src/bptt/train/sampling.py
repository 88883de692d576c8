"""Writing text with a trained model, one character at a time."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.cell import Cell
from bptt.train.errors import OptionError
from bptt.train.model import CharacterModel, as_model
from bptt.train.run_folder import read_run
from bptt.train.vocabulary import UNKNOWN, Vocabulary

Logits = npt.NDArray[np.floating]


class Sampler:
    """A model that reads a prompt and continues it.

    The state after every step is handed to the next call (`run.final`), so a text of
    any length takes the memory of one step. The target y only feeds the loss, which is
    not used here: zeros are given for it.
    """

    def __init__(
        self,
        model: CharacterModel,
        parameters: Mapping[str, npt.NDArray[np.floating]],
        vocabulary: Vocabulary,
    ) -> None:
        """Hold the model; nothing is computed yet."""
        self._model = model
        self._parameters = parameters
        self._vocabulary = vocabulary

    def write(
        self, prompt: str, length: int, *, temperature: float = 1.0, seed: int = 0
    ) -> Iterator[str]:
        """Yield `length` characters that follow the prompt, as they are drawn.

        p_k = exp(o_k / temperature) / sum_j exp(o_j / temperature); temperature 0
        takes the most likely character. An empty prompt stands for a new line. The
        entry for unknown characters is never drawn: it has no character to write.
        Raises: OptionError if length or temperature is negative, or seed is.
        """
        if length < 0:
            raise OptionError("--length", length, "a whole number from 0")
        if not 0 <= temperature < np.inf:
            raise OptionError("--temperature", temperature, "a number from 0")
        if seed < 0:
            raise OptionError("--seed", seed, "a whole number from 0")
        return self._draw(prompt or "\n", length, temperature, seed)

    def _draw(
        self, prompt: str, length: int, temperature: float, seed: int
    ) -> Iterator[str]:
        random = np.random.default_rng(seed)
        tokens = self._vocabulary.encode(prompt)
        state = None
        for _ in range(length):
            x = tokens.reshape(-1, 1)  # (tau, n_b = 1): the prompt, then one step
            inputs = {"x": x, "y": np.zeros_like(x)}
            run = self._model.cell.forward(self._parameters, inputs, initial=state)
            state = run.final
            token = draw(run[self._model.scores][-1, 0], temperature, random)
            tokens = np.array([token])
            yield self._vocabulary.decode(tokens)


def open_run(folder: Path) -> Sampler:
    """Open a run folder to write text with its model.

    Raises: RunNotFoundError, DamagedRunError, TrainExtraMissingError without
    safetensors, and the errors of the language if the equations were changed.

    >>> "".join(open_run(Path("runs/one")).write("def ", 80))  # doctest: +SKIP
    """
    saved = read_run(folder)
    model = as_model(str(folder), Cell(saved.cell_text))
    return Sampler(model, saved.parameters, saved.vocabulary)


def draw(o: Logits, temperature: float, random: np.random.Generator) -> int:
    """Draw a known entry from unnormalised log-probabilities o, shape (n_o,)."""
    scores = o.astype(np.float64)
    scores[UNKNOWN] = -np.inf
    if temperature == 0:
        return int(scores.argmax())
    # The largest score is taken off first: exp never overflows, and is never all 0.
    weights = np.exp((scores - scores.max()) / temperature)
    cumulative = weights.cumsum()
    drawn = np.searchsorted(cumulative, random.random() * cumulative[-1], side="right")
    return int(drawn)
