"""The single changes of a text that could put a formula with indices right.

In the order in which mistakes are likely: a step, a transpose, the factors of an outer
product, an index, a sign, a term more or less, a sum over an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bptt.step.graph import Graph

_STEP = re.compile(r"\w+\[t([+-]1)?((?:,[^\]]*)?)\]")
_TURNED = re.compile(r"\.T\b")
_MATRIX = re.compile(r"\b[A-Z]\w*(?:\[[^\]]*\])?(?!\.T|\w|\[)")
_OUTER = re.compile(r"outer\(([^()]*(?:\([^()]*\)[^()]*)*)\)")


@dataclass(frozen=True)
class Change:
    """A changed text; kind, words, parts: see `edits.Edit`; span: where, in the old."""

    kind: str
    result: str
    span: tuple[int, int] | None
    parts: tuple[str, ...] = ()
    words: str = ""


def changes(text: str, graph: Graph, terms: tuple[str, ...]) -> Iterator[Change]:
    """Every single change; terms: those that a right formula has."""
    summed = f"sum(t, {text})"
    yield Change("missing sum", summed, None, (summed,))
    yield from _missing(text, terms)
    yield from _steps(text)
    yield from _transposes(text)
    yield from _swaps(text)
    yield from _indices(text, graph)
    yield from _of_terms(text, terms)
    for name in graph.indices:
        whole = f"sum({name}, {text})"
        yield Change("missing sum", whole, (0, len(text)), (whole, text), "write")


def _put(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _missing(text: str, terms: tuple[str, ...]) -> Iterator[Change]:
    for term in terms:
        yield Change("missing term", f"{text} + {term}", None, (term,))


def _steps(text: str) -> Iterator[Change]:
    for found in _STEP.finditer(text):
        name = found[0].partition("[")[0]
        for lag in ("", "+1", "-1"):
            if lag != (found[1] or ""):
                new = f"{name}[t{lag}{found[2]}]"
                changed = _put(text, *found.span(), new)
                yield Change("step", changed, found.span(), (new,))


def _transposes(text: str) -> Iterator[Change]:
    for found in _TURNED.finditer(text):
        before = re.search(r"\w+(\[[^\]]*\])?$", text[: found.start()])
        start = before.start() if before else found.start()
        plain = text[start : found.start()]
        changed = _put(text, *found.span(), "")
        span = start, found.end()
        yield Change("transpose", changed, span, (plain,), "not-transposed")
    for found in _MATRIX.finditer(text):
        new = f"{found[0]}.T"
        changed = _put(text, *found.span(), new)
        yield Change("transpose", changed, found.span(), (new,))


def _swaps(text: str) -> Iterator[Change]:
    for found in _OUTER.finditer(text):
        parts = _arguments(found[1])
        if len(parts) == 2:
            new = f"outer({parts[1]}, {parts[0]})"
            changed = _put(text, *found.span(), new)
            yield Change("swap", changed, found.span(), (parts[0], parts[1]))


def _arguments(text: str) -> list[str]:
    depth, parts, start = 0, [], 0
    for at, letter in enumerate(text):
        depth += letter in "(["
        depth -= letter in ")]"
        if letter == "," and not depth:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def _indices(text: str, graph: Graph) -> Iterator[Change]:
    """Another index in the place of one, where both run over one dimension."""
    for old, (_, dim) in graph.indices.items():
        for new, (_, other) in graph.indices.items():
            if new == old or dim != other:
                continue
            for found in re.finditer(rf"(?<=[\[ ,]){old}(?=[\],])", text):
                changed = _put(text, *found.span(), new)
                yield Change("replace", changed, found.span(), (new, old))


def _of_terms(text: str, terms: tuple[str, ...]) -> Iterator[Change]:
    """A sign, a term too many, and one in the place of another."""
    spans = list(term_spans(text))
    for start, end in spans:
        part = text[start:end]
        bare = part.lstrip(" +-")
        is_negative = part.lstrip().startswith("-")
        sign = "+" if is_negative else "-"
        new = f"{sign} {bare}" if start or sign == "-" else bare
        words = "plus" if is_negative else "minus"
        yield Change("sign", _put(text, start, end, new), (start, end), (), words)
        if len(spans) > 1:
            rest = _put(text, start, end, "").strip()
            yield Change("extra term", rest.removeprefix("+").strip(), (start, end))
        for term in terms:
            joined = f"+ {term}" if start else term
            changed = _put(text, start, end, joined)
            yield Change("replace", changed, (start, end), (term, bare.strip()))


def term_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the terms of a sum begin and end, each with its sign."""
    depth, start = 0, 0
    for at, letter in enumerate(text):
        depth += letter in "([{"
        depth -= letter in ")]}"
        before = text[:at].rstrip()
        if not depth and letter in "+-" and before and before[-1] not in "@*/+-,(":
            yield start, at
            start = at
    yield start, len(text)
