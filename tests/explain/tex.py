"""TeX for tests: a document is compiled where XeLaTeX is, or has to be."""

import os
import re
import shutil
import subprocess

import pytest

REQUIRED = "BPTT_REQUIRED_TEX"
NAME = "xelatex"
# A line of a paragraph, and what is wider than its box by so many points.
WIDE = re.compile(r"Overfull \\hbox \((\d+)\.\d+pt too wide\)[^\n]*")
SEEN = 12  # points: what is less still lies in the margin


def compile_tex(path):
    """The PDF beside the document, and what TeX said.

    Skips where there is no TeX, unless the environment says that there has to be one.
    """
    if shutil.which(NAME) is None:
        assert not os.environ.get(REQUIRED), f"{REQUIRED} is set; there is no {NAME}"
        pytest.skip(f"no {NAME}")
    command = (NAME, "-interaction=nonstopmode", "-halt-on-error", path.name)
    done = subprocess.run(
        command, cwd=path.parent, capture_output=True, text=True, timeout=300,
        errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return path.with_suffix(".pdf"), done.stdout


def complaints(said):
    """Signs that the font lacks, and lines that leave the page."""
    wide = [found[0] for found in WIDE.finditer(said) if int(found[1]) >= SEEN]
    return wide + re.findall(r"Missing character[^\n]*", said)
