"""The figures of the README that no machine changes: the baselines of its text."""

import platform
import re
from functools import cache
from pathlib import Path

import pytest

from bptt.train import STANDARD_LIBRARY_CHARACTERS as LIMIT
from bptt.train import TrainingOptions, read_text
from bptt.train.data.characters import text_task

ROOT = Path(__file__).parents[2]


@cache  # both pages name the same ones
def baselines():
    return text_task(read_text(limit=LIMIT), TrainingOptions()).baselines()


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_baselines_of_the_readme_are_those_of_the_python_it_names(name):
    page = " ".join((ROOT / name).read_text(encoding="utf-8").split())
    found = re.search(r"(3\.\d+\.\d+)\D.*?(4\.\d{3}).*?lzma.*?(\d\.\d{3})", page)
    version, unigram, lzma = found.groups()
    if platform.python_version() != version:
        pytest.skip(f"the text of Python {version} is not here")
    found = baselines()
    # The run's table leaves out the first character of each of its 64 streams.
    assert found.unigram == pytest.approx(float(unigram), abs=0.002)
    assert f"{found.lzma:.3f}" == lzma
