"""The sentences in both languages: none missing, none mirrored, the terms as agreed."""

import re

import pytest

import bptt
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.point import Scope
from bptt.explain.model import LANGUAGES, Text
from bptt.explain.notation.parse import parse
from bptt.explain.notation.plain import to_ascii
from bptt.explain.sentences import UnknownLanguageError, table
from bptt.explain.texts import pieces

EN, ZH = table("en"), table("zh")
BOOK = Scope(bptt.cells.book.graph)
FIELD, FORMULA = re.compile(r"\{(\w+)\}"), re.compile(r"`([^`]+)`")
# The Chinese translation's glossary, and what it lacks.
TERMS = {
    "graph": "计算图", "unfold": "展开图", "forward": "前向传播",
    "backward": "反向传播", "bptt": "通过时间反向传播",
    "rnn": "循环神经网络", "step": "时间步",
    "state": "隐藏状态", "sharing": "参数共享", "copy": "副本", "contribution": "贡献",
    "chain": "链式法则", "successor": "后续节点", "ancestor": "祖先", "path": "路径",
    "series": "串行相乘、并行相加", "diagonal": "对角矩阵", "transpose": "转置",
    "norm": "范数", "saturate": "饱和", "vanish": "梯度消失", "explode": "梯度爆炸",
    "difference": "中心差分", "check": "梯度检查", "loss": "损失函数",
    "nll": "负对数似然", "derivation": "推导", "derivative": "导数",
}  # fmt: skip


def test_no_sentence_is_missing_in_either_language():
    assert EN.keys() == ZH.keys()
    assert len(EN) > 300
    for key, sentence in (*EN.items(), *ZH.items()):
        assert sentence.strip(), key


@pytest.mark.parametrize("key", EN)
def test_a_sentence_has_the_same_fields_in_both_languages(key):
    assert set(FIELD.findall(EN[key])) == set(FIELD.findall(ZH[key]))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_formula_in_a_sentence_is_one(lang):
    found = 0
    for sentence in table(lang).values():
        assert sentence.count("`") % 2 == 0
        for formula in FORMULA.findall(sentence):
            parse(formula, BOOK)
            found += 1
    assert found > 50


def test_chinese_is_chinese_and_english_is_not():
    chinese = re.compile("[\u4e00-\u9fff]")
    # Names and signs alone, or a language's own name.
    same = {"header.list", "label.language", "derivation.calls", "derivation.call",
            "derivation.seed-call", "formula.steps.two"}  # fmt: skip
    for key, sentence in ZH.items():
        is_text = re.search(r"[A-Za-z]{3}", FIELD.sub("", FORMULA.sub("", EN[key])))
        if is_text and key not in same and not key.startswith("against.column"):
            assert chinese.search(sentence) or key.startswith("glossary.column"), key
    for key, sentence in EN.items():
        if key not in ("label.language", "glossary.column-zh"):
            assert not chinese.search(sentence), key


@pytest.mark.parametrize("term", TERMS)
def test_the_terms_are_those_of_the_chinese_translation(term):
    assert ZH[f"glossary.term.{term}"] == TERMS[term]


def test_the_slips_of_the_chinese_text_are_not_repeated():
    everything = "".join(ZH.values())
    assert "紧接着最终损失" not in everything
    assert "在这个导数中" not in everything
    for sentence in ZH.values():  # an ancestor is no parent
        assert "父节点" not in sentence or "不只是父节点" in sentence
    assert "损失之前、直接指向损失的节点" in everything
    for word in ("显然", "容易看出", "不难发现"):
        assert word not in everything
    for word in ("easy to see", "obvious", "clearly", "trivial"):
        assert word not in "".join(EN.values())


def test_a_list_and_its_sentences_are_joined_with_the_commas_of_the_language():
    names = (e.Value("h", e.T), e.Value("o", e.T))
    for lang, comma in (("en", ", "), ("zh", "、")):
        found = pieces(Text("against.list", {"items": names}), lang, BOOK)
        shown = [p if isinstance(p, str) else to_ascii(p) for p in found]
        assert "".join(shown) == f"h[t]{comma}o[t]"


def test_a_language_without_a_table_is_refused():
    with pytest.raises(UnknownLanguageError, match="no texts in 'fr'; there are: en"):
        bptt.cells.book.explain(lang="fr")
