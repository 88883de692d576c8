"""What the page hands its script: numbers, names, formulas and words, as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from bptt.explain import model as m
from bptt.explain.algebra.expr import Value
from bptt.explain.html.panels.lab import lab_data
from bptt.explain.html.panels.lab_known import known_words
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.picture.grid import LONGEST
from bptt.explain.html.picture.svg import arrow_widths, shape_text
from bptt.explain.html.values import encode
from bptt.explain.html.words import plain, words
from bptt.explain.notation.plain import to_unicode
from bptt.explain.notation.unread import UNREAD
from bptt.step.shapes import Array

SCRIPTS = ("lab-", "cop", "walk-", "play-")  # words that the script says


def script_data(page: PageContext, title: dict[str, str]) -> str:
    """The data as JSON."""
    values = page.writer.values
    places, exact = _places(page)
    data = {
        "first": page.first, "tau": page.tau, "title": title, "places": places,
        "sizes": {k: v for k, v in page.document.shown.sizes.items() if k != "n_b"},
        "shapes": {card: shape_text(arrows[-1]) for card, arrows in page.arrows.items()
                   if arrows[-1].jacobian is not None},
        "widths": _widths(page), "lab": lab_data(page), "symbols": _symbols(page),
        "words": {key: dict(zip(m.LANGUAGES, entry, strict=True))
                  for key, entry in words().items() if key.startswith(SCRIPTS)
                  } | known_words(),
        "unread": UNREAD, "values": values.index, "numbers": values.blob(),
        "exact": encode(exact), "tex": page.writer.tex, "parts": page.writer.parts,
    }  # fmt: skip
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def formula_data(page: PageContext, title: dict[str, str]) -> str:
    """What the formulas alone need, as JSON."""
    said = {key: dict(zip(m.LANGUAGES, words()[key], strict=True))
            for key in ("copy", "copied")}  # fmt: skip
    data = {"title": title, "words": said, "tex": page.writer.tex}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _places(page: PageContext) -> tuple[dict[str, Any], Array]:
    """Every value and gradient in full precision, by name and step; seeds and weights.

    v, g, s: where a value, a gradient, what arrives from outside begins, by step.
    """
    point, unrolled = page.document.shown, page.unrolled
    scope = page.document.scope
    found: dict[str, Any] = {}
    parts: list[Any] = []
    size = 0

    def put(name: str, key: str, t: int | None, array: Any) -> None:
        """Add an array under a name's v, g or s, at step t."""
        nonlocal size
        empty = {
            "shape": list(np.shape(array)),
            "isParameter": name in scope.graph.parameters,
            "mark": to_unicode(Value(name)),
            "v": {},
            "g": {},
            "s": {},
        }
        found.setdefault(name, empty)[key]["" if t is None else str(t)] = size
        parts.append(np.ravel(np.asarray(array, dtype="<f8")))
        size += int(np.size(array))

    for place in unrolled.places:
        if place.kind == "copy":
            continue
        is_total = place == unrolled.total
        value = unrolled.loss if is_total else unrolled.values[place]
        put(place.name, "v", place.t, value)
        put(place.name, "g", place.t, unrolled.grad(place))
    for t in range(1, page.tau + 1):
        if "w" not in page.document.scope.names and page.graph.loss:
            put("w", "v", t, point.weights[t - 1])
        for name, seeds in point.seeds.items():
            put(name, "s", t, seeds[t - 1])
    for name, spec in scope.graph.inputs.items():
        if spec.index is not None:  # a class: the dimension that it chooses from
            found[name]["index"] = spec.index
    return found, np.concatenate(parts)


def _widths(page: PageContext) -> dict[str, dict[str, list[float]]]:
    """The width of every arrow, for the columns that the script makes."""
    if page.tau <= LONGEST:
        return {}
    found: dict[str, dict[str, list[float]]] = {}
    for name, drawn in (("graph-full", page.full), ("graph-folded", page.folded)):
        widths = arrow_widths(drawn)
        by_card = found.setdefault(name, {})
        for arrow in drawn.arrows:
            by_card.setdefault(arrow.card, []).append(round(widths[arrow.key], 1))
    return found


def _symbols(page: PageContext) -> dict[str, dict[str, str]]:
    """What a symbol is, for the tip over it: kind and shape."""
    scope = page.document.scope
    found = {}
    for name in scope.names:
        shape = " × ".join(map(str, scope.core(name))) or "1"
        numbers = " × ".join(str(page.document.shown.size(d)) for d in scope.core(name))
        kind = "integer" if scope.is_integer(name) else scope.kind(name)
        if name in page.graph.states:
            kind = "state"
        fields = {
            "name": to_unicode(Value(name)),
            "shape": shape,
            "numbers": numbers or "1",
        }
        found[name] = plain(f"symbol-{kind}", **fields)
    return found
