"""Panel 11: the proof ledger; panel 12: the glossary."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import PurePath

from bptt.check import FAILED, NOT_CHECKED, PASSED, Ledger, check_cell
from bptt.execute.dispatch import REFERENCE
from bptt.explain.algebra.expr import Expr, Jacobian, Nabla, T, Time, Value
from bptt.explain.context import Subject
from bptt.explain.delays import carried_by
from bptt.explain.model import (
    Badge,
    Block,
    Listing,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
    show_error,
)

# how, of, worst error and tolerance of `Ledger.summary`
KEPT = (0, 1, 2, 3)
# What `Ledger.summary` writes: ∇_h^(t), and ∂a/∂b, ∂a/∂h[t-1], ∂L/∂L^(t).
_GRADIENT = re.compile(r"∇_(\w+)(?:\^\((.+)\))?")
_EDGE = re.compile(r"∂(\w+)/∂(\w+)(?:(?:\[|\^\()(t[^\])]*)[\])])?")
# What `Instance` and `check_cell` write of the numbers.
_INSTANCE = re.compile(
    r"instance (\d+): (.*); (\w+(?:, weighted)?); seed (\d+)"
    r"(?:; moved along (\d+) random directions of each array)?"
)
COLUMNS = ("what", "of", "error", "tolerance", "result")
TERMS = (
    "graph", "unfold", "forward", "backward", "bptt", "rnn", "step", "state", "sharing",
    "copy", "contribution", "gradient", "derivative", "derivation", "jacobian", "chain",
    "successor", "ancestor", "path", "series", "immediate", "total", "diagonal",
    "transpose", "hadamard", "norm", "saturate", "vanish", "explode", "clip",
    "truncated", "difference", "check", "loss", "nll", "forcing",
)  # fmt: skip


def make_ledger(context: Subject) -> Ledger:
    """The gradients of the cell against independent oracles, one instance."""
    found = check_cell(
        context.cell, seed=context.options.seed, instances=1, executor=REFERENCE
    )
    carried = "|".join(map(re.escape, carried_by(context.cell.graph)))
    if not carried:
        return found
    # What carries a delay has no name here; a row of it that failed is shown.
    named = re.compile(rf"(?<![A-Za-z0-9])(?:{carried})(?!\w)")
    rows = (r for r in found.rows if r.status != PASSED or not named.search(r.what))
    return replace(found, rows=tuple(rows))


def ledger(context: Subject, badge: Badge, found: Ledger) -> PagePanel:
    """What was checked, how, how far apart, and the command that repeats it."""
    rows = tuple(_line(found, line) for line in found.summary())
    blocks: list[Block] = []
    if badge.equations:
        blocks.append(Paragraph(Text("ledger.equations", {
            "equations": badge.equations, "checked": badge.checked,
            "instances": len(context.points), "worst": show_error(badge.worst),
        })))  # fmt: skip
    titles = tuple(Text(f"ledger.column-{column}") for column in COLUMNS)
    blocks += [
        Paragraph(Text("ledger.intro")),
        ShownTable("ledger", titles, rows),
        *(Paragraph(instance_text(said)) for said in found.instances),
    ]
    if context.name:
        command = (
            f"bptt check {PurePath(context.name).name} --seed {context.options.seed}"
        )
        blocks += [Paragraph(Text("ledger.rerun")), Listing(command, "command")]
    return PagePanel("ledger", 11, Text("panel.ledger"), tuple(blocks))


def instance_text(said: str) -> Text:
    """What the numbers were: `instance 1: tau = 4, n_h = 3; sum; seed 0`."""
    found = _INSTANCE.fullmatch(said)
    assert found is not None, said
    number, sizes, reduction, seed, directions = found.groups()
    fields = {
        "number": number, "sizes": sizes.replace("tau", "τ"), "seed": seed,
        "loss": Text(f"ledger.loss.{reduction.replace(', ', '-')}"),
    }  # fmt: skip
    if directions is None:
        return Text("ledger.instance", fields)
    return Text("ledger.instance-along", {**fields, "directions": directions})


def _line(found: Ledger, line: tuple[str, ...]) -> TableRow:
    """One kind of check, in words of either language."""
    how, names, error, tolerance = (line[i] for i in KEPT)
    rows = [row for row in found.rows if row.how == how]
    counts = Counter(row.status for row in rows)
    fields: dict[str, object] = {"count": counts[PASSED], "all": len(rows)}
    kind = "ok" if counts[PASSED] else "none"
    if counts[FAILED]:
        kind, fields["count"] = "failed", counts[FAILED]
    elif counts[PASSED] and counts[NOT_CHECKED]:
        kind, fields["rest"] = "partly", counts[NOT_CHECKED]
    method = "-".join(re.findall(r"\w+", how))
    error, tolerance = (x if not x or float(x) else "0" for x in (error, tolerance))
    cells = (Text(f"ledger.method.{method}"), _of(names), error, tolerance,
             Text(f"ledger.result.{kind}", fields))  # fmt: skip
    has_failed = counts[FAILED] > 0
    return TableRow(cells, "bad" if has_failed else "", has_failed=has_failed)


def _of(names: str) -> Text:
    """What was checked: names of gradients, or a quantity that has words."""
    if names == "every gradient":
        return Text("ledger.of.every")
    if names.startswith("∇ at s"):
        return Text("ledger.of.causality", {"loss": Value("L", T)})
    for word, kind in (("sum of ", "sum"), ("H v for ", "second")):
        if names.startswith(word):
            listed = _listed(names.replace(word, ""), T if kind == "sum" else None)
            return Text(f"ledger.of.{kind}", {"name": listed})
    return Text("against.list", {"items": _listed(names, None)})


def _listed(names: str, time: Time | None) -> tuple[Expr | str, ...]:
    """Every item of a list as an expression; time: the step of a bare name."""
    return tuple(_item(item, time) for item in names.split(", "))


def _item(item: str, time: Time | None) -> Expr | str:
    """∇_h^(t), ∂a/∂h[t-1], or a name; what is none of these stays as it is."""
    if gradient := _GRADIENT.fullmatch(item):
        name, step = gradient.groups()
        of = Value(name.replace("θ", "theta"), _step(step))
        return Nabla(of)
    if edge := _EDGE.fullmatch(item):
        target, source, step = edge.groups()
        is_total = target == "L"
        return Jacobian(Value(target, None if is_total else T),
                        Value(source, _step(step)))  # fmt: skip
    return Value(item, time) if item.isidentifier() else item


def _step(text: str | None) -> Time | None:
    if text is None:
        return None
    base = text.rstrip("+-0123456789")
    return Time(base, int(text[len(base) :] or 0))


def glossary() -> PagePanel:
    """The terms in both languages; `glossary.term.ID` in each string table."""
    titles = (Text("glossary.column-en"), Text("glossary.column-zh"))
    rows = tuple(
        TableRow((Text(f"glossary.term.{term}", {"lang": "en"}),
             Text(f"glossary.term.{term}", {"lang": "zh"})))
        for term in TERMS
    )  # fmt: skip
    return PagePanel("glossary", 12, Text("panel.glossary"), (
        Paragraph(Text("glossary.intro")), ShownTable("glossary", titles, rows),
    ))  # fmt: skip
