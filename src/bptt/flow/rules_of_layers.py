"""Opinions on single layers: which one of a stack, or of two directions, is at fault.

The rules of the whole are asked of every layer alone. What all layers share is said of
the whole; what only some have is said of those, by the names of their states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from bptt.flow.case import Case
from bptt.flow.facts import Facts
from bptt.flow.findings import Diagnosis
from bptt.flow.layers import part_of

Rule = Callable[[Case], Iterator[Diagnosis]]
OF_LAYERS = ("exploding", "vanishing", "stuck")
# What the whole says less well when a layer's name is known.
INSTEAD = {"exploding": ("exploding", "exploding-rows", "bursts"), "stuck": ("stuck",)}


def name_layers(
    case: Case, found: Iterable[Diagnosis], rules: Iterable[Rule]
) -> list[Diagnosis]:
    """What was found of the whole, with the layers that are at fault by name."""
    found, rules = list(found), tuple(rules)
    layers = {
        names: {d.kind: d for rule in rules for d in rule(_part(case, names))}
        for names in case.findings.layers
    }
    for kind in OF_LAYERS:
        at_fault = {n: of[kind] for n, of in layers.items() if kind in of}
        if not at_fault or len(at_fault) == len(layers):
            continue
        drop = INSTEAD.get(kind, ())
        found = [d for d in found if d.kind not in drop]
        found += [
            _named(kind, names, d, [n for n in layers if n not in at_fault])
            for names, d in at_fault.items()
        ]
    return found


def _part(case: Case, names: str) -> Case:
    """The same run, as its rules see one layer."""
    cut = part_of(case.facts.cut, names.split(", "))
    growth = (case.findings.layers[names],)
    slopes = {n: a for n, a in case.slopes.items() if n in cut.definitions}
    return replace(
        case, findings=replace(case.findings, growth=growth, layers={}),
        facts=Facts(cut), slopes=slopes,
    )  # fmt: skip


def _named(kind: str, names: str, found: Diagnosis, others: list[str]) -> Diagnosis:
    # One layer forgets while another remembers: the network need not.
    severity = "caution" if kind == "vanishing" else found.severity
    fields = {**found.fields, "layer": names, "others": "; ".join(others)}
    return replace(
        found, kind=f"{kind}-layer", severity=severity, fields=fields, layer=names
    )
