"""The sentences in both languages: none missing, none mirrored, the terms as agreed."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import bptt
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.point import Scope
from bptt.explain.formula.equation import check_equation
from bptt.explain.html.words import words
from bptt.explain.model import LANGUAGES, Text
from bptt.explain.notation.parse import parse
from bptt.explain.notation.plain import to_ascii
from bptt.explain.panels.closing import instance_text
from bptt.explain.sentences import SentenceError, UnknownLanguageError, say, table
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


class Prose(HTMLParser):
    """The texts and labels of a page in Chinese, without code, formulas and names."""

    NO_PROSE = frozenset({"code", "script", "style", "math", "pre"})
    ALONE = frozenset({"br", "hr", "img", "input", "link", "meta", "col", "wbr", "path",
                       "line", "rect", "circle", "use"})  # fmt: skip

    def __init__(self, page):
        super().__init__()
        self.inside, self.texts, self.labels = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        is_other = tag in self.NO_PROSE or attributes.get("lang") == "en"
        is_other |= attributes.get("id") == "glossary"  # in both languages
        if not is_other and not any(other for _, other in self.inside):
            labels = (attributes.get(name) for name in ("aria-label", "title"))
            self.labels += [label for label in labels if label]
        if tag not in self.ALONE:
            self.inside.append((tag, is_other))

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        places = [i for i, (name, _) in enumerate(self.inside) if name == tag]
        del self.inside[places[-1] if places else len(self.inside) :]

    def handle_data(self, data):
        if not any(other for _, other in self.inside):
            self.texts.append(data)


TWO_WORDS = re.compile(r"\b[A-Za-z][a-z]+[ ,]+[a-z]{2,}\b")
CHINESE = re.compile("[\u4e00-\u9fff]")
CATALOGUE = Path(__file__).parents[2] / "examples" / "catalogue"


def english(texts):
    """What is prose in English: two words of it and no Chinese, or three anywhere."""
    return [said for said in texts
            if (TWO_WORDS.search(said) and not CHINESE.search(said))
            or re.search(r"\b[A-Za-z][a-z]+(?:[ ,]+[a-z]{2,}\b){2}", said)]  # fmt: skip


def test_english_prose_is_found():
    assert english(["instance 1: tau = 4; moved along 8", "W_i 的梯度", "n_h"])
    assert english(["这是 the sum of all copies"])
    assert not english(["与 bptt flow 的报告相同", "Jacobian 矩阵", "lstm", "b_i, W_i"])


@pytest.mark.parametrize("name", ["lstm", "mlstm", "bidirectional"])
def test_a_page_in_chinese_has_no_prose_in_english(name):
    cell = (
        bptt.cells.lstm
        if name == "lstm"
        else bptt.Cell.load(CATALOGUE / f"{name}.cell")
    )
    read = Prose(cell.explain(lang="zh").html())
    assert len(read.texts) > 100
    assert english(read.texts) == []
    # A button says both on its tip.
    both = {f"{en} · {zh}" for en, zh in words().values()}
    labels = [label for label in read.labels if label not in both]
    assert len(labels) > 3
    assert english(labels) == []
    for label in labels:
        assert CHINESE.search(label) or not re.search(r"[a-z]{3}", label), label


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_ledger_says_what_its_numbers_were_in_the_language(lang):
    said = bptt.cells.gru.explain(lang=lang, seed=3).markdown()
    start = {"en": "The random numbers, set 1: τ = ", "zh": "第 1 组随机数：τ = "}[lang]
    end = {
        "en": "; the losses are summed; seed 3.",
        "zh": "；各步损失取和；随机种子 3。",
    }[lang]
    (line,) = (line for line in said.splitlines() if line.startswith(start))
    assert line.endswith(end)
    assert "instance 1" not in said


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", ["", ", weighted"])
@pytest.mark.parametrize(
    "along", ["", "; moved along 8 random directions of each array"]
)
def test_whatever_an_instance_is_has_a_sentence(reduction, weighted, along):
    text = instance_text(
        f"instance 2: tau = 4, n_h = 3; {reduction}{weighted}; seed 0{along}"
    )
    for lang in LANGUAGES:
        assert "τ = 4, n_h = 3" in say(text, lang)
        assert ("8" in say(text, lang)) == bool(along)


@pytest.mark.parametrize("equation", [
    "grad_h[t] = W.T @ grad_a[t+1] + V.T @ grad_o[t]",
    "grad_h[t] = W @ grad_a[t+1] + V.T @ grad_o[t]", "grad_h[t] = W @@ 2",
    r"\nabla_{h^{(t)}} L = W \nabla_{a^{(t+1)}} L", r"\nabla_{h^{(t)}} L = \foo{W}",
    "grad_W = grad_a[t] @ h[t-1].T", "grad_q[t] = 1", "hello world",
])  # fmt: skip
def test_a_check_in_chinese_is_said_in_chinese(equation):
    try:
        said = check_equation(bptt.cells.book, equation).say("zh")
    except SentenceError as error:
        said = error.say("zh")
    for line in said.splitlines():
        assert CHINESE.search(line) or line.startswith("    "), line
        assert not english([line]) or line.startswith("    "), line
