"""Panel 11: the proof ledger; panel 12: the glossary."""

from __future__ import annotations

from bptt.check import FAILED, Ledger, check_cell
from bptt.execute.dispatch import REFERENCE
from bptt.explain.context import Context
from bptt.explain.model import (
    Badge,
    Block,
    Listing,
    Panel,
    Paragraph,
    Row,
    Table,
    Text,
    show_error,
)

# what, of, worst error, tolerance and result of `Ledger.summary`
KEPT = (0, 1, 2, 3, 5)
COLUMNS = ("what", "of", "error", "tolerance", "result")
TERMS = (
    "graph", "unfold", "forward", "backward", "bptt", "rnn", "step", "state", "sharing",
    "copy", "contribution", "gradient", "derivative", "derivation", "jacobian", "chain",
    "successor", "ancestor", "path", "series", "immediate", "total", "diagonal",
    "transpose", "hadamard", "norm", "saturate", "vanish", "explode", "clip",
    "truncated", "difference", "check", "loss", "nll", "forcing",
)  # fmt: skip


def make_ledger(context: Context) -> Ledger:
    """The gradients of the cell against independent oracles, one instance."""
    return check_cell(
        context.cell, seed=context.options.seed, instances=1, executor=REFERENCE
    )


def ledger(context: Context, badge: Badge, found: Ledger) -> Panel:
    """What was checked, how, how far apart, and the command that repeats it."""
    rows = tuple(
        Row(tuple(line[i] for i in KEPT), "bad" if FAILED.upper() in line[5] else "")
        for line in found.summary()
    )
    fields = {
        "equations": badge.equations, "checked": badge.checked,
        "instances": len(context.points), "worst": show_error(badge.worst),
    }  # fmt: skip
    titles = tuple(Text(f"ledger.column-{column}") for column in COLUMNS)
    blocks: list[Block] = [
        Paragraph(Text("ledger.equations", fields)),
        Paragraph(Text("ledger.intro")),
        Table("ledger", titles, rows),
        Listing("\n".join(found.instances), "instances"),
    ]
    if context.name:
        command = f"bptt check {context.name} --seed {context.options.seed}"
        blocks += [Paragraph(Text("ledger.rerun")), Listing(command, "command")]
    return Panel("ledger", 11, Text("panel.ledger"), tuple(blocks))


def glossary() -> Panel:
    """The terms in both languages; `glossary.term.ID` in each string table."""
    titles = (Text("glossary.column-en"), Text("glossary.column-zh"))
    rows = tuple(
        Row((Text(f"glossary.term.{term}", {"lang": "en"}),
             Text(f"glossary.term.{term}", {"lang": "zh"})))
        for term in TERMS
    )  # fmt: skip
    return Panel("glossary", 12, Text("panel.glossary"), (
        Paragraph(Text("glossary.intro")), Table("glossary", titles, rows),
    ))  # fmt: skip
