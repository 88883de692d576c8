"""Before | loop | after: which products run for all t at once, and which wait."""

import pytest

from bptt import Cell, cells
from bptt.calculus.program import Request, forward_program, gradient_program
from bptt.calculus.recurrence import schedule
from bptt.step.graph import Node, shift

PRODUCTS = {"matvec", "matmul", "outer", "total_outer", "lookup", "total_scatter"}


def written(node):
    """A product as text: `W h[t-1]`, `W^T grad(a)`."""

    def name(child):
        if child.op == "transpose":
            return f"{name(child.inputs[0])}^T"
        if child.op == "shift":
            return f"{child.data[0]}[{child.data[1]:+d}]"
        return str(child.data) if child.data is not None else child.op

    return f"{name(node.inputs[0])} {name(node.inputs[1])}"


def plan(program):
    """(direction, products) per segment, without segments that have no product."""
    parts = [
        (s.direction, sorted(written(n) for n in s.nodes if n.op in PRODUCTS))
        for s in program.segments
    ]
    return [(direction, found) for direction, found in parts if found or direction]


def forward(cell):
    return plan(forward_program(cell.graph, tuple(cell.graph.definitions)))


def test_the_book_forward():
    assert forward(cells.book) == [(0, ["U x"]), (1, ["W h[-1]"]), (0, ["V h"])]


def test_the_book_backward():
    """∇o for all t; W^T in the reverse loop alone; every sum over t after it."""
    program = gradient_program(cells.book.graph, Request())
    steps = plan(program)
    assert [direction for direction, _ in steps if direction] == [1, -1]
    loops = {direction: found for direction, found in steps if direction}
    assert loops[1] == ["W h[-1]"]
    assert loops[-1] == ["W^T grad(a)"]
    outside = [p for direction, found in steps if not direction for p in found]
    assert sorted(outside) == [
        "U x", "V h", "V^T grad(o)", "grad(a) h[-1]", "grad(a) x", "grad(o) h",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "waiting"),
    [
        ("elman", ["W h[-1]"]),
        ("lstm", ["W_f h[-1]", "W_g h[-1]", "W_i h[-1]", "W_q h[-1]"]),
        ("gru", ["W_n h[-1]", "W_r h[-1]", "W_z h[-1]"]),
        ("gru_reset_before", ["W_n mul", "W_r h[-1]", "W_z h[-1]"]),
    ],
)
def test_a_layer_forward(name, waiting):
    (before, first), *rest = forward(cells.get(name))
    assert before == 0
    assert all(product.startswith("U") and product.endswith(" x") for product in first)
    assert len(first) == len(waiting)
    assert rest == [(1, waiting)]


@pytest.mark.parametrize(("name", "count"), [("elman", 1), ("lstm", 4), ("gru", 3)])
def test_a_layer_backward_has_one_product_per_gate_in_its_reverse_loop(name, count):
    cell = cells.get(name)
    program = gradient_program(cell.graph, Request(seeds=("h",)))
    loops = {d: found for d, found in plan(program) if d}
    assert len(loops[1]) == len(loops[-1]) == count
    assert all(product.startswith("W") and "^T" in product for product in loops[-1])
    sums = [n for s in program.segments for n in s.nodes if n.op == "total_outer"]
    assert len(sums) == 2 * count


STACK = Cell(
    "g[t] = tanh(W @ g[t-1] + U @ x[t])\nh[t] = tanh(R @ h[t-1] + S @ g[t])\n"
    "L[t] = sum(h[t] ** 2)"
)


def test_a_stack_runs_one_loop_per_layer_with_batched_products_between():
    assert forward(STACK) == [
        (0, ["U x"]), (1, ["W g[-1]"]), (0, ["S g"]), (1, ["R h[-1]"]),
    ]  # fmt: skip
    steps = plan(gradient_program(STACK.graph, Request()))
    assert [direction for direction, _ in steps if direction] == [1, 1, -1, -1]
    assert [found[0].split()[0] for direction, found in steps if direction] == [
        "W", "R", "R^T", "W^T",
    ]  # fmt: skip


def test_a_cell_without_a_state_has_no_loop():
    cell = Cell("h[t] = tanh(U @ x[t] + V @ x[t-1])\nL[t] = sum(h[t])")
    program = gradient_program(cell.graph, Request())
    assert {segment.direction for segment in program.segments} == {0}


def test_a_sum_is_split_so_that_its_free_terms_leave_the_loop_together():
    cell = Cell("h[t] = tanh(b + W @ h[t-1] - U @ x[t] + c)")
    program = forward_program(cell.graph, ("h",))
    loop = next(s for s in program.segments if s.direction)
    assert sorted(n.op for n in loop.nodes) == [
        "add",
        "matvec",
        "named",
        "shift",
        "tanh",
    ]


def test_a_loop_that_reads_both_ways_is_refused():
    before, after = shift("h", -1, ("n",)), shift("h", 1, ("n",))
    root = Node("named", (before + after,), ("n",), "h")
    with pytest.raises(ValueError, match="both earlier and later steps"):
        schedule({"h": root}, ["h"], {})


def test_segments_come_in_an_order_in_which_inputs_come_first():
    for cell in (cells.book, STACK):
        program = gradient_program(cell.graph, Request(initial=True))
        done = set()
        for segment in program.segments:
            for node in segment.nodes:
                assert set(node.inputs) - done <= {
                    n for n in node.inputs if not n.inputs
                }
                done.add(node)
