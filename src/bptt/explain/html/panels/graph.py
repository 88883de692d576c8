"""Panel 2: the unrolled graph as a picture, as a table, and its nodes' numbers."""

from __future__ import annotations

from typing import Any

from bptt.explain.algebra.expr import Nabla, T, Value
from bptt.explain.html.panels.page_context import PageContext, tspans
from bptt.explain.html.picture.drawn import Arrow, Drawn
from bptt.explain.html.picture.grid import LONGEST
from bptt.explain.html.picture.svg import Marks, picture, shape_text
from bptt.explain.html.values import show_number, side_by_side
from bptt.explain.html.words import plain, word
from bptt.explain.html.writer import lowered
from bptt.explain.notation.plain import to_unicode
from bptt.page.tags import Markup, join, tag

NORMS = 8  # steps whose norms the table of edges gives


def graph_panel(page: PageContext) -> Markup:
    """The whole panel."""
    return join(
        tag("p", word("graph-intro")), page.writer.later(_controls(page)),
        _pictures(page), _legend(page),
        _edge_table(page), _nodes(page),
    )  # fmt: skip


def _choice(key: str, legend: str, *options: tuple[str, Any]) -> Markup:
    buttons = [
        tag(
            "button",
            words,
            type="button",
            data_set=f"{key}={value}",
            aria_pressed="false",
        )
        for value, words in options
    ]
    return tag("fieldset", tag("legend", word(legend)), *buttons, class_="seg")


def _controls(page: PageContext) -> Markup:
    parts = [
        _choice("label", "labels", *((kind, word(f"label-{kind}"))
                                     for kind in ("symbol", "shape", "number"))),
        _choice("all", "where", ("true", word("everywhere")), ("false", word("here"))),
        _choice("backward", "direction", ("false", word("forward")),
                ("true", word("backward"))),
    ]  # fmt: skip
    if page.folded.folded:
        names = join(*_between(", ", [page.name(n, None) for n in page.folded.folded]))
        parts.append(_choice("folded", "inner", ("false", word("full")),
                             ("true", word("folded", names=names))))  # fmt: skip
    if page.tau > LONGEST:
        parts.append(
            tag(
                "button",
                word("expand", tau=page.tau),
                type="button",
                class_="plain",
                data_expand=True,
                aria_pressed="false",
            )
        )
    return tag("div", *parts, class_="controls needs-script")


def _between(sign: str, parts: list[Markup]) -> list[Any]:
    found: list[Any] = []
    for part in parts:
        found += [sign, part] if found else [part]
    return found


def _pictures(page: PageContext) -> Markup:
    marks = Marks(tspans, page.labels.lines)
    drawn = {"graph-full": page.full}
    if page.folded.folded:
        drawn["graph-folded"] = page.folded
    figures: list[Markup] = []
    for name, picture_of in drawn.items():
        title = _title(page, picture_of)
        svg = picture(picture_of, marks, name=name, title=title[page.lang])
        said = {f"data_says_{lang}": said for lang, said in title.items()}
        canvas = tag("div", svg, class_="canvas", tabindex=0, role="group",
                     aria_label=title[page.lang], **said)  # fmt: skip
        # The second is seen where a script switches to it.
        figures.append(page.writer.later(canvas) if figures else canvas)
        _numbers(page, picture_of.arrows)
    return tag("figure", *figures)


def _title(page: PageContext, drawn: Drawn) -> dict[str, str]:
    """What a picture is, by language."""
    return {
        lang: plain(
            "graph-title", cell=page.document.options["cell"] or unnamed,
            tau=page.tau, nodes=len(page.unrolled.places), edges=len(drawn.arrows),
        )[lang]
        for lang, unnamed in plain("figure-unnamed").items()
    }  # fmt: skip


def _numbers(page: PageContext, arrows: tuple[Arrow, ...]) -> None:
    """The Jacobians, and for parameters what each step contributes, for the script."""
    cards: dict[str, dict[int, Arrow]] = {}
    for arrow in arrows:
        cards.setdefault(arrow.card, {})[arrow.t] = arrow
    for card, by_step in cards.items():
        first = next(iter(by_step.values()))
        if first.jacobian is None:
            continue
        if first.kind.lag is None:
            carried = {t: arrow.carried for t, arrow in by_step.items()}
            page.writer.values.add(f"G:{card}", carried)
        else:
            found = {t: arrow.matrix for t, arrow in by_step.items()}
            page.writer.values.add(f"J:{card}", found)


def _legend(page: PageContext) -> Markup:
    def sample(inner: Markup, width: float = 34.0) -> Markup:
        return tag("svg", inner, width=width, height=18.0, class_="graph sample",
                   aria_hidden="true")  # fmt: skip

    def circle(style: str) -> Markup:
        return tag("g", tag("circle", cx=17.0, cy=9.0, r=7.5), class_=f"n {style}")

    box = tag("g", tag("rect", x=5.0, y=2.0, width=24.0, height=14.0, rx=4.0),
              class_="n parameter")  # fmt: skip
    cut = tag("g", tag("path", d="M2 9h30", stroke_width=1.4),
              class_="e cut")  # fmt: skip
    items = [
        tag("li", word("legend-forward"), data_direction="forward"),
        tag(
            "li",
            word("legend-backward", given=page.name(page.labels.given, None)),
            data_direction="backward",
        ),
        tag("li", sample(box), word("legend-parameter")),
        tag("li", sample(circle("input")), word("legend-input")),
        tag("li", sample(circle("node")), word("legend-node")),
        tag("li", sample(circle("lit")), word("legend-lit"), class_="needs-script"),
        tag(
            "li",
            word(
                "legend-now",
                now=tag("b", "●", class_="arrow-now"),
                later=tag("b", "●", class_="arrow-later"),
            ),
            class_="needs-script",
        ),
        tag("li", sample(cut), word("legend-cut")),
        tag("li", word("legend-sign"), class_="needs-script"),
    ]
    return tag("ul", *items, class_="legend")


def _edge_table(page: PageContext) -> Markup:
    steps = _shown_steps(page.tau)
    head = [
        word("edge"),
        word("jacobian"),
        word("shape"),
        *(
            join(word("carried"), f" {t}") if i == 0 else str(t)
            for i, t in enumerate(steps)
        ),
    ]
    rows = [_edge_row(page, arrows, steps) for card, arrows in page.arrows.items()
            if not card.endswith("~")]  # fmt: skip
    table = tag(
        "table", tag("caption", word("edge-caption")),
        tag("thead", tag("tr", *(tag("th", h, scope="col") for h in head))),
        tag("tbody", *rows),
    )  # fmt: skip
    return tag(
        "details",
        tag("summary", word("edge-table")),
        tag("div", table, class_="tall"),
        class_="more",
        open=True,
        data_closed=True,
    )


def _shown_steps(tau: int) -> list[int]:
    every = list(range(1, tau + 1))
    return every if tau <= NORMS else [*every[: NORMS // 2], *every[-NORMS // 2 :]]


def _edge_row(page: PageContext, arrows: list[Arrow], steps: list[int]) -> Markup:
    arrow = arrows[-1]
    by_step = {a.t: a for a in arrows}
    form = page.labels.form(arrow)
    norms = [show_number(by_step[t].norm, 2) if t in by_step else "" for t in steps]
    is_cut = arrow.jacobian is None
    shown: Any = form if form is not None else page.labels.general(arrow)
    is_brief = page.writer.values.is_brief
    shown = lowered(to_unicode(shown)) if is_brief else page.writer.eq(shown)
    return tag(
        "tr", tag("td", page.ends(arrow)),
        tag("td", word("legend-cut") if is_cut else shown),
        tag("td", "" if is_cut else shape_text(arrow), class_="n"),
        *(tag("td", "" if is_cut else norm, class_="n") for norm in norms),
        data_kind=arrow.card,
    )  # fmt: skip


# ----- nodes -----


def _nodes(page: PageContext) -> Markup:
    names = [*page.graph.inputs, *page.graph.definitions]
    rows = [_node_row(page, name) for name in names]
    head = join(word("node-list"), tag("span", str(page.first), data_now=True))
    return tag("details", tag("summary", head), *rows, class_="more", open=True,
               data_closed=True)  # fmt: skip


def _node_row(page: PageContext, name: str) -> Markup:
    steps = range(1, page.tau + 1)
    places = {t: page.unrolled.place(name, t) for t in steps}
    value = Value(name, T)
    parts: list[Any] = [page.writer.values.widget(
        f"V:{name}", {t: page.unrolled.values[p] for t, p in places.items()},
        page.writer.eq(value),
    )]  # fmt: skip
    if not page.document.scope.is_integer(name):
        parts.append(page.writer.values.widget(
            f"D:{name}", {t: page.unrolled.grad(p) for t, p in places.items()},
            page.writer.eq(Nabla(value)),
        ))  # fmt: skip
    return side_by_side(*parts)
