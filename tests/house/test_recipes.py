"""The recipes of docs/contributing: the files are there, a new operation works."""

import re
from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt.execute.compile.lowerings import LOWERINGS
from bptt.explain.algebra import expr as e
from bptt.explain.algebra import rules
from bptt.explain.notation.latex_meaning import FUNCTIONS
from bptt.language import functions
from bptt.step import ops
from bptt.step import shapes as s
from bptt.step.operation import Op
from bptt.step.ops import OPS
from bptt.step.table import MissingRowError

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "docs" / "contributing").glob("*.md"))
CUBE = Op(
    "cube", 1, s.elementwise, lambda x: x**3, lambda g, y, x: (g * (3.0 * x * x),), "x",
    r"\operatorname{{cube}}\left({0}\right)",
)  # fmt: skip
TEXT = """h[t] = tanh(W @ h[t-1] + U @ x[t])
q[t] = cube(h[t])
L[t] = dot(q[t], q[t])"""


def rows():
    """Every row of the recipe: (table, its name, the row)."""
    found = [
        (LOWERINGS, "LOWERINGS", lambda b, x: b.builder.fmul(x, b.builder.fmul(x, x))),
        (rules.TRANSLATIONS, "TRANSLATIONS", lambda s: e.Applied("cube", s.x)),
        (rules.PULLS, "PULLS", rules._slope(
            lambda y, x: e.product(e.Number(3.0), e.Power(x, e.Number(2.0)))
        )),
    ]  # fmt: skip
    try:
        from bptt.torch.meanings import MEANINGS
    except ImportError:
        return found
    return [*found, (MEANINGS, "MEANINGS", lambda x: x * x * x)]


@pytest.fixture
def cube(monkeypatch):
    """The operation in the table and the language, and in no other table yet."""
    monkeypatch.setitem(OPS, "cube", CUBE)
    monkeypatch.setitem(functions.CALLS, "cube", CUBE)
    return bptt.Cell(TEXT)


def add_rows(monkeypatch, *, but=""):
    for table, name, row in rows():
        if name != but:
            monkeypatch.setitem(table, "cube", row)
    monkeypatch.setitem(FUNCTIONS, "cube", lambda x: x**3)


def test_an_operation_added_by_the_recipe_works_everywhere(cube, monkeypatch):
    add_rows(monkeypatch)
    assert cube.check(instances=1).passed
    assert cube.explain(tau=2).passed
    params = cube.init(n_x=2, n_q=3, seed=1)
    x = np.random.default_rng(0).standard_normal((4, 2, 2))
    fast = cube.gradient(params, {"x": x})
    plain = cube.gradient(params, {"x": x}, executor="reference")
    np.testing.assert_allclose(fast["W"], plain["W"], rtol=1e-13)


def test_a_missing_row_names_the_operation_the_table_and_the_file(cube, monkeypatch):
    add_rows(monkeypatch, but="PULLS")
    with pytest.raises(
        MissingRowError,
        match=r"'cube' has no row in PULLS \(bptt/explain/algebra/rules\.py\)",
    ):
        _ = cube.explain(tau=2).passed


@pytest.mark.parametrize("name", [name for _, name, _ in rows()])
def test_every_table_says_that_it_lacks_a_row(name):
    table = next(table for table, other, _ in rows() if other == name)
    with pytest.raises(MissingRowError, match=f"has no row in {name}"):
        table["cube"]


def test_the_table_of_operations_says_so_too():
    with pytest.raises(
        MissingRowError, match=r"has no row in OPS \(bptt/step/ops\.py\)"
    ):
        ops.apply("cube", 1.0)


def test_every_file_that_a_recipe_names_is_there():
    named = {
        (page.name, name)
        for page in RECIPES
        for name in re.findall(r"`((?:\w+/)+\w+\.\w+)`", page.read_text("utf-8"))
        if not {"NAME", "CODE"} & set(re.split(r"\W", name))
    }
    assert len(named) > 15
    bases = (ROOT, ROOT / "src" / "bptt", ROOT / "src")
    gone = [
        row for row in sorted(named) if not any((b / row[1]).is_file() for b in bases)
    ]
    assert gone == []


def test_a_primitive_operation_touches_at_most_five_files_of_the_source():
    page = (ROOT / "docs" / "contributing" / "operation.md").read_text("utf-8")
    table = re.findall(r"^\| `([\w/]+\.py)` \| `", page, re.MULTILINE)
    assert len(table) == len(set(table)) == 5
