"""Indices back to text: declarations, brackets, and what runs along an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bptt.language.indexed import KEEPING, REDUCING
from bptt.language.joined import READ, joined_text
from bptt.step.graph import Graph, Node, walk
from bptt.step.places import UNNAMED, IndexPlace

INDEXED = frozenset({"at", "put", "index_sum", "index_fill", "index", "size", "eye"})


def index_lines(graph: Graph) -> Iterator[str]:
    """`j = 1, ..., n_head` for every index."""
    for name, (first, dim) in graph.indices.items():
        last = first + dim - 1 if isinstance(dim, int) else dim
        yield f"{name} = {first}, ..., {last}"


def label_of(node: Node) -> str:
    """The name of a line without a step that puts this together; "" for any other."""
    data: Any = node.data
    return str(data[0].label) if node.op == "put" else ""


def labelled_lines(graph: Graph, text: Callable[[Node], str]) -> Iterator[str]:
    """`log_a[i] = log_softmax(A[i])` for what is made once and has places."""
    seen: set[str] = set()
    for node in walk(graph.definitions.values()):
        label = label_of(node)
        if label and label not in seen:
            seen.add(label)
            places, body = split_target(node.inputs[0])
            places = (_put_index(node), *places)
            yield f"{with_places(label, places)} = {text(body)}"


def split_target(body: Node) -> tuple[tuple[str, ...], Node]:
    """The indices on an equation's left, and its right."""
    names: list[str] = []
    while _is_put(body):
        names.append(_put_index(body))
        body = body.inputs[0]
    return tuple(names), body


def with_places(text: str, places: tuple[str, ...]) -> str:
    """`h[t]` and `j` to `h[t, j]`; `W` and `j` to `W[j]`."""
    if not places:
        return text
    inside = ", ".join(places)
    is_open = text.endswith("]") and READ.fullmatch(text)
    return f"{text[:-1]}, {inside}]" if is_open else f"{text}[{inside}]"


def indexed_text(
    node: Node, text: Callable[[Node], str], atom: Callable[[Node], str]
) -> str | None:
    """The text of a node that an index made; None for any other.

    atom: the text of what brackets may stand behind, (A @ B)[j].
    """
    data: Any = node.data
    if label_of(node):
        return label_of(node)
    if node.op in ("index", "size", "eye"):
        name = str(data[0]) if node.op == "index" else str(data)
        return f"eye({name})" if node.op == "eye" else name
    if node.op == "index_fill":
        return text(node.inputs[0])
    if node.op == "index_sum":
        return f"sum({data[0]}, {text(node.inputs[0])})"
    if node.op in REDUCING and _is_put(node.inputs[0]):
        return _along(node, text)
    joined = joined_text(node, text)
    if joined is not None:
        return joined
    if node.op in ("add", "put"):
        parts = stacked(node)
        return f"stack({', '.join(map(text, parts))})" if parts else None
    if node.op != "at":
        return None
    inner = node.inputs[0]
    if inner.op in KEEPING and _is_put(inner.inputs[0]):
        return _along(inner, text)
    return _read(node, text, atom)


def stacked(node: Node) -> list[Node]:
    """What stands at the places 1, 2, ... of a value; nothing if it is no such sum."""
    parts: list[Node] = []
    while node.op == "add" and _is_one_place(node.inputs[1]):
        parts.insert(0, node.inputs[1])
        node = node.inputs[0]
    parts.insert(0, node)
    if not all(map(_is_one_place, parts)):
        return []
    numbers = [part.data[0].offset for part in parts]  # type: ignore[index]
    is_whole = numbers == list(range(1, len(parts) + 1))
    return [part.inputs[0] for part in parts] if is_whole else []


def _is_one_place(node: Node) -> bool:
    data: Any = node.data
    return node.op == "put" and not data[0].terms


def _along(node: Node, text: Callable[[Node], str]) -> str:
    whole = node.inputs[0]
    return f"{node.op}({_put_index(whole)}, {text(whole.inputs[0])})"


def _is_put(node: Node) -> bool:
    """Whether an index of the text becomes a dimension here."""
    data: Any = node.data
    is_named = node.op == "put" and data[0].names not in ((), (UNNAMED,))
    return is_named and not label_of(node)


def _put_index(node: Node) -> str:
    data: Any = node.data
    return str(data[0].terms[0].name)


def _read(node: Node, text: Callable[[Node], str], atom: Callable[[Node], str]) -> str:
    places: list[str] = []
    while node.op == "at" and not _is_along(node):
        place: Any = node.data
        places.insert(0, place_text(place))
        node = node.inputs[0]
    if node.op == "lookup":
        matrix, index = node.inputs
        place = text(index)
        if matrix.op == "transpose":
            return with_places(atom(matrix.inputs[0]), (place, *places))
        return with_places(atom(matrix), (*places, place))
    found = atom(node)
    if node.op == "named" and found.endswith(")"):  # `sum(t, u[t, j])`, at every j
        return found
    return with_places(found, tuple(places))


def _is_along(node: Node) -> bool:
    inner = node.inputs[0]
    return inner.op in KEEPING and _is_put(inner.inputs[0])


def place_text(place: IndexPlace) -> str:
    """A place as it stands in brackets."""
    parts = [("+" if term.sign > 0 else "-") + term.name for term in place.terms]
    if place.offset or not parts:
        parts.append(f"{place.offset:+d}")
    text = "".join(parts).removeprefix("+")
    return f"wrap({text})" if place.is_wrapped else text
