"""Panel 6: the paths from a parameter to L, their products, and the running sum."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.explain.algebra.expr import Time, Value
from bptt.explain.html.charts import bar
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.panels.walk import walk_panel
from bptt.explain.html.values import show_number
from bptt.explain.html.words import word
from bptt.explain.html.writer import lowered
from bptt.explain.notation.plain import to_unicode
from bptt.page.tags import Markup, join, tag
from bptt.step.shapes import Array
from bptt.unrolled import Path

FIRST_ROWS, LAST_ROWS = 6, 24  # shown at once, and at all
FEW = 6  # parameters; of more than this only the first rows are shown
LONGEST = 8  # places of a path that are written out


def paths_panel(page: PageContext) -> Markup:
    """One list per parameter, the first open."""
    names = _by_reach(page)
    last = LAST_ROWS if len(names) <= FEW else FIRST_ROWS
    lists = [_list(page, name, last) for name in names]
    return join(
        tag("p", word("paths-intro")),
        page.writer.later(walk_panel(page, names)),
        *lists,
    )


def _by_reach(page: PageContext) -> list[str]:
    """Parameters with the most paths first: those that act through time."""
    unrolled = page.unrolled
    counts = {n: unrolled.count_paths(unrolled.place(n)) for n in page.graph.parameters}
    return sorted(counts, key=lambda name: -counts[name])


def _list(page: PageContext, name: str, last: int) -> Markup:
    unrolled = page.unrolled
    place = unrolled.place(name)
    paths = sorted(
        unrolled.paths(place), key=lambda p: -float(np.linalg.norm(p.product))
    )
    count = unrolled.count_paths(place)
    is_grouped = any(path.count > 1 for path in paths)
    key = "paths-grouped" if is_grouped else "paths-of"
    head = tag("summary", word(key, count=str(count), name=page.name(name, None)))
    if not paths:
        return tag("details", head, class_="more")
    grad = unrolled.grad(place)
    rows, left = _rows(paths, grad, last)
    shown = [_table(rows[:FIRST_ROWS])]
    if len(paths) > FIRST_ROWS:
        shown += _rest(rows[FIRST_ROWS:], len(paths) - FIRST_ROWS)
    error = tag(
        "p",
        word("path-sum", count=str(count), error=f"{left:.0e}" if left else "0"),
        class_="note",
    )
    return tag(
        "details", head, *shown, error, class_="more paths", open=True, data_closed=True
    )


def _rest(rows: list[Markup], count: int) -> list[Markup]:
    """The rows after the first, to be opened, and how many of the rest have none."""
    small = count - len(rows)
    note = tag("p", word("path-small", count=str(small)), class_="note")
    notes = [note] if small else []
    if not rows:
        return notes
    more = tag("summary", word("path-rest", count=str(count)))
    return [tag("details", more, _table(rows), *notes, open=True, data_closed=True)]


def _rows(paths: list[Path], grad: Array, count: int) -> tuple[list[Markup], float]:
    """A row for the first paths, and what is left to the gradient after all."""
    top = float(np.linalg.norm(paths[0].product)) or 1.0
    whole = float(np.linalg.norm(grad)) or 1.0
    total: Any = 0.0
    rows = []
    for path in paths[:count]:
        total = total + path.product
        left = float(np.linalg.norm(grad - total)) / whole
        norm = float(np.linalg.norm(path.product))
        start = next((p.t for p in path.places if p.t is not None), None)
        rows.append(tag(
            "tr", tag("td", _ways(path)), tag("td", str(path.lag)),
            tag("td", show_number(norm), "  ", bar(norm / top)),
            tag("td", show_number(left, 2)),
            data_t=start if path.count == 1 else None,
        ))  # fmt: skip
    for path in paths[count:]:
        total = total + path.product
    return rows, float(np.linalg.norm(grad - total)) / whole


def _ways(path: Path) -> Markup:
    """W → a(2) → h(2) → ...: the copy is the same use as the node after it."""
    if path.count > 1:
        return word("paths-group", count=str(path.count))
    shown = [place for place in path.places if place.kind != "copy"]
    names = [to_unicode(Value(p.name, None if p.t is None else Time("", p.t)))
             for p in shown]  # fmt: skip
    if len(names) > LONGEST:
        names = [*names[: LONGEST // 2], "⋯", *names[-LONGEST // 2 :]]
    return lowered(" → ".join(names))


def _table(rows: list[Markup]) -> Markup:
    heads = ("path", "lag", "path-norm", "path-left")
    table = tag("table", tag("thead", tag("tr", *(tag("th", word(h), scope="col")
                                                  for h in heads))),
                tag("tbody", *rows), class_="nums")  # fmt: skip
    return tag("div", table, class_="scroll")
