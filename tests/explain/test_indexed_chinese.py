"""The Chinese explanation of a cell with indices has no English in it."""

import re
from pathlib import Path

import pytest

from bptt import Cell

CATALOGUE = Path(__file__).parents[2] / "examples" / "catalogue"
WORDS = re.compile(r"(?:\b[A-Za-z]{3,}\b[ ,.;:]+){2,}[A-Za-z]{3,}")
CHINESE = re.compile("<span lang=zh>(.*?)</span>", re.DOTALL)
CODE = re.compile(r"<(pre|code|math|svg|table class=mx).*?</\1>", re.DOTALL)


@pytest.mark.parametrize("name", ["attention_decoder", "deltanet", "highway", "hmm"])
def test_no_english_sentence_is_left(name):
    cell = Cell.load(CATALOGUE / f"{name}.cell")
    shown = cell.explain(lang="zh")
    comment = " ".join(re.findall(r"#(.*)", cell.text))
    own = {*re.findall(r"\w+", comment), "explain", "figure", "unrolled", "bptt"}
    text = shown.text()
    assert len(re.findall("[\u4e00-\u9fff]", text)) > 1000
    for found in WORDS.findall(text):
        assert set(re.findall(r"\w+", found)) <= own, found
    for piece in CHINESE.findall(shown.html()):
        plain = re.sub(r"<[^>]*>", " ", CODE.sub(" ", piece))
        for found in WORDS.findall(plain):
            assert set(re.findall(r"\w+", found)) <= own, piece
