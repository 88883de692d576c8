"""From a cell and options to the document that every format shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bptt.check import silent
from bptt.engine import Engine
from bptt.explain import model as m
from bptt.explain.context import Subject, called
from bptt.explain.instances import Options
from bptt.explain.panels import (
    against,
    closing,
    derivation,
    opening,
    sharing,
    unrolled,
)
from bptt.explain.prepare import has_indices


def build_document(
    cell: Engine, name: str, options: Options, *, with_ledger: bool = True,
    progress: Callable[[float], None] = silent,
) -> m.Document:  # fmt: skip
    """Derive, check and arrange everything that is displayed of a cell.

    with_ledger: also check the gradients against independent oracles, which takes as
    long as all the rest; the equations are checked in any case. progress: is told the
    share that is done.
    """
    context = Subject(cell, name, options, progress)
    # What is no finite number is said where it stands, and not warned of twice.
    with np.errstate(all="ignore"):
        if has_indices(cell.graph):
            return _in_equations(context, with_ledger=with_ledger)
        return _card_by_card(context, with_ledger=with_ledger)


def _card_by_card(context: Subject, *, with_ledger: bool) -> m.Document:
    """A cell without indices: every panel."""
    progress = context.progress
    panels = [
        opening.header(context),
        opening.cell(context),
        unrolled.graph(context),
        derivation.derivation(context),
        derivation.edges(context),
        sharing.sharing(context),
        unrolled.paths(context),
        unrolled.flow(context),
        against.against(context),
    ]
    progress(0.6)
    broken = against.break_it(context)
    panels += [broken] if broken else []
    document = _document(context, panels)
    last = [closing.glossary()]
    if with_ledger:
        found = closing.make_ledger(context)
        last.insert(0, closing.ledger(context, document.badge, found))
    progress(1.0)
    return m.Document(
        document.title, document.source, document.scope, document.shown,
        document.options, (*document.panels, *last),
    )  # fmt: skip


def _document(context: Subject, panels: list[m.PagePanel]) -> m.Document:
    options, name = context.options, called(context.name)
    return m.Document(
        m.Text("title", {"cell": name}) if name else m.Text("title-unnamed"),
        context.source, context.scope, context.shown,
        {"cell": name, "tau": options.tau, "seed": options.seed,
         "reduction": options.kind, "sizes": dict(context.shown.sizes)},
        tuple(panels),
    )  # fmt: skip


def _in_equations(context: Subject, *, with_ledger: bool) -> m.Document:
    """A cell with indices: equations, cards, the numbers of one step, the ledger."""
    from bptt.explain.panels import indexed  # noqa: PLC0415  # few cells need it

    document = _document(context, indexed.panels(context))
    if not with_ledger:
        return document
    found = closing.ledger(context, document.badge, closing.make_ledger(context))
    return replace(document, panels=(*document.panels, found))
