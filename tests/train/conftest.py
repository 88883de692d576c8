"""A small text with much to learn, and a reporter that prints nowhere."""

import numpy as np
import pytest
from rich.console import Console

from bptt.train.data.text import PlainText

WORDS = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "to", "hat", "of"]


@pytest.fixture(scope="session")
def small_text():
    """12 000 characters of words in random order: letters follow from letters."""
    random = np.random.default_rng(0)
    words = random.choice(WORDS, 3200)
    return PlainText(" ".join(words)[:12_000], source="words", n_files=1)


@pytest.fixture
def quiet():
    return Console(quiet=True)
