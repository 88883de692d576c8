"""The verdict of a document: red as soon as what states its own error has failed."""

from dataclasses import replace

import bptt
from bptt.explain import model as m
from bptt.unrolled import Unrolled
from tests.explain.documents import explained


def test_a_right_cell_has_a_green_verdict():
    found = explained("book")
    assert found.passed
    assert not found.document.failed_rows
    assert found.document.badge.text.id == "badge"


def test_a_row_whose_own_error_is_too_large_turns_the_verdict_red(monkeypatch):
    right = Unrolled.paths

    def wrong(self, place, *limit):
        return [replace(path, product=path.product * 1.001)
                for path in right(self, place, *limit)]  # fmt: skip

    monkeypatch.setattr(Unrolled, "paths", wrong)
    found = replace(bptt.cells.elman.explain(tau=2), with_ledger=False)
    assert not found.passed
    assert {row.cells[0].name for row in found.document.failed_rows} == set("bWU")
    assert found.document.badge.text.id == "badge-failed"
    assert "3 FAILED" in found.summary
    assert 'class="badge failed"' in found.html()


def test_a_failed_row_of_the_ledger_turns_the_verdict_red():
    from bptt.check import FAILED, Ledger
    from bptt.explain.context import Subject
    from bptt.explain.instances import Options
    from bptt.explain.panels.closing import ledger, make_ledger

    context = Subject(bptt.cells.elman, "elman", Options())
    right = make_ledger(context)
    rows = (replace(right.rows[0], status=FAILED), *right.rows[1:])
    panel = ledger(context, explained("elman").document.badge,
                   Ledger(rows, right.seed, right.instances))  # fmt: skip
    table = next(b for b in panel.blocks if isinstance(b, m.ShownTable))
    assert [row.has_failed for row in table.rows].count(True) == 1


def test_every_method_of_the_ledger_has_words_in_both_languages():
    from bptt.explain.render.common import FormatWriter

    for name in ("book", "lstm", "mgu", "leaky"):
        found = bptt.cells.get(name).explain(name=name)
        panel = found.document.panel("ledger")
        table = next(b for b in panel.blocks if isinstance(b, m.ShownTable))
        for lang in m.LANGUAGES:
            writer = FormatWriter(found.document, lang, lambda expr: "")
            for row in table.rows:
                method, result = writer.cell(row.cells[0]), writer.cell(row.cells[4])
                if lang == "zh":
                    assert any("\u4e00" <= c <= "\u9fff" for c in method), method
                    assert any("\u4e00" <= c <= "\u9fff" for c in result), result


def test_the_box_of_signs_says_what_each_derivative_is():
    for lang, words in (("en", ("immediate", "total")), ("zh", ("直接导数", "全导数"))):
        text = explained("book", lang).text()
        for word in words:
            assert word in text
        comma = {"en": ", ", "zh": "、"}[lang]
        assert comma.join(("∇_x L", "∂L/∂x", "dL/dx")) in text


def test_the_progress_rises_to_1():
    shares = []
    found = replace(bptt.cells.elman.explain(tau=2), progress=shares.append)
    assert found.document.cards
    assert shares == sorted(shares)
    assert len(shares) > 5
    assert shares[-1] == 1.0


def test_a_badge_is_green_only_where_every_equation_was_checked():
    status = [
        m.Badge(*counts, 0.0).status for counts in ((9, 9, 0), (9, 3, 0), (9, 9, 1))
    ]
    assert status == [m.PASSED, m.NOT_CHECKED, m.FAILED]
