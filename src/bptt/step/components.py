"""Strongly connected components: what waits for each other, in a graph of anything."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def components(nodes: Iterable[K], inputs: Callable[[K], Iterable[K]]) -> list[list[K]]:
    """The components, inputs first, in an order that the order of `nodes` decides.

    Tarjan's algorithm without recursion: a chain may be longer than Python's stack.
    """
    index: dict[K, int] = {}
    low: dict[K, int] = {}
    on_stack: set[K] = set()
    stack: list[K] = []
    found: list[list[K]] = []
    for start in nodes:
        if start in index:
            continue
        work = [(start, iter(inputs(start)))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, children = work[-1]
            child = next(children, None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    found.append(_pop(stack, on_stack, node))
            elif child not in index:
                index[child] = low[child] = len(index)
                stack.append(child)
                on_stack.add(child)
                work.append((child, iter(inputs(child))))
            elif child in on_stack:
                low[node] = min(low[node], index[child])
    return found


def _pop(stack: list[K], on_stack: set[K], root: K) -> list[K]:
    component: list[K] = []
    while not component or component[-1] != root:
        component.append(stack.pop())
        on_stack.discard(component[-1])
    return component
