"""No decision depends on the order of a set, on an address, or on a directory's order.

A tie broken by such an order gives other bits in the next process. The package itself
is searched in test_style.py, which the quick tests run.
"""

import pytest

from tests.house.ordered import find

PLANTED = {
    "a loop over a set": "seen = set()\nfor node in seen:\n    print(node)",
    "of a set in a dictionary": """
def count(operands: dict[str, set[str]]) -> None:
    for x in operands["g"]:
        print(x)
""",
    "of the values of a dictionary": """
def count(operands: dict[str, set[str]]) -> None:
    for found in operands.values():
        print(list(found))
""",
    "an argument": "def f(names: frozenset[str]):\n    return [n for n in names]",
    "a collection": "def f(names: Collection[str]):\n    return tuple(names)",
    "an attribute": """
class A:
    live: set[str]
    def names(self):
        return [name for name in self.live]
""",
    "an attribute set later": """
class A:
    def __init__(self):
        self._seen = set()
    def names(self):
        return list(self._seen)
""",
    "a result": """
def close() -> set[str]:
    return set()
def use():
    return "".join(close())
""",
    "a union of keys": "def f(a, b):\n    for key in a.keys() | b:\n        print(key)",
    "a difference": "def f(a):\n    return dict.fromkeys(set(a) - {1})",
    "a starred set": "def f(a, b):\n    return [*{a, b}]",
    "a set as arguments": "def f(a, b):\n    print(*{a, b})",
    "an element": "def f(a, b):\n    return {a, b}.pop()",
    "the first element": "def f(a, b):\n    return next(iter({a, b}))",
    "two elements": "def f(a):\n    x, y = set(a)",
    "a key with ties": "def f(a):\n    return sorted(set(a), key=len)",
    "the longest of a set": "def f(a):\n    return max(set(a), key=len)",
    "a sum of floats": "def f(a):\n    return sum({1.5, *a})",
    "a dictionary of a set": "def f(a):\n    return {x: 1 for x in set(a)}",
    "a set for an iterable": """
def walk(roots: Iterable[str]):
    pass
def f(a):
    walk({a})
""",
    "a keyword": """
def walk(*, roots: Sequence[str]):
    pass
def f(a):
    walk(roots={a})
""",
    "a function inside": """
def f(a):
    seen = set(a)
    def g():
        return [x for x in seen]
    return g
""",
    "a constant": "NAMES = frozenset('ab')\ndef f():\n    return [*NAMES]",
    "a text": "def f(a):\n    return f'one of {set(a)}'",
    "an address": "def f(a):\n    return sorted(a, key=lambda n: id(n))",
    "a hash": "def f(a):\n    return hash(a) % 7",
    "a directory": "def f(path):\n    return list(path.iterdir())",
}
ALLOWED = {
    "membership": "def f(a, b):\n    seen = set(a)\n    return b in seen",
    "one of two": "def f(a, b):\n    return b in (*set(a), 'tau')",
    "a set of two": "def f(a, b):\n    return frozenset((*set(a), *b))",
    "sorted": "def f(a):\n    return [x for x in sorted(set(a))]",
    "any": "def f(a):\n    return any(x > 1 for x in set(a))",
    "another set": "def f(a):\n    return {x + 1 for x in set(a)}",
    "the only element": "def f(a):\n    (x,) = set(a)\n    return x",
    "a dictionary": "def f(a):\n    return list(dict.fromkeys(a))",
    "keys alone": "def f(a):\n    return [key for key in a.keys()]",
    "a sorted directory": "def f(p):\n    return sorted(q.name for q in p.iterdir())",
    "with a reason": "def f(a):\n    # order-free: identity\n    return {id(a): a}",
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_depends_on_it_is_found(name):
    assert find(PLANTED[name])


@pytest.mark.parametrize("name", ALLOWED)
def test_what_does_not_is_left_alone(name):
    assert find(ALLOWED[name]) == []
