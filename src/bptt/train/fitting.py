"""Whether a cell and the data go together; where not, why, in the person's terms."""

from collections.abc import Iterable
from dataclasses import dataclass

from bptt.cell import Cell
from bptt.step.graph import name_of, shift_of, walk
from bptt.step.shapes import Dim
from bptt.train.data.form import Form
from bptt.train.errors import CellNotTrainableError
from bptt.train.reading import reads_of

NEEDED = {
    "nll": "class indices (integers)",
    "bce": "0 and 1 per element (bool, or integers with an axis of their own)",
    "mse": "real numbers",
}
SEE = "docs/how-to/other-inputs.md says which arrays a file holds for which cell."


def refuse_lacking(name: str, cell: Cell, form: Form) -> None:
    """Refuse a cell that reads what the data does not hold, or its targets unscored.

    cell: with its read-out and loss. Raises: CellNotTrainableError.
    """
    if cell.graph.loss is None:
        fix = "A model has L[t] = ... or L = ... as one of its equations."
        raise CellNotTrainableError(name, "it has no loss", fix)
    reads = reads_of(cell)
    lacking = [one for one in reads.others if one not in form.shapes]
    if not reads.has_x and "x" not in reads.others and form.n_x:
        given = "tokens" if form.x_is_token else "vectors"
        held = f"the data holds {given} x, and the cell reads {reads.words}"
        fix = f"Call the input x, or give a .npz file with these arrays. {SEE}"
        raise CellNotTrainableError(name, held, fix)
    if lacking:
        first = lacking[0]
        held = f"it reads {first}, {reads.others[first].words}, which the data lacks"
        fix = f"Give a .npz file with {reads.words}. {SEE}"
        raise CellNotTrainableError(name, held, fix)
    asked = cell.graph.inputs
    extra = [one for one in form.shapes if one not in asked]
    if extra:
        held = f"the data holds {extra[0]}, which it does not read"
        raise CellNotTrainableError(name, held, f"It reads {reads.words}. {SEE}")
    if not reads.has_x and not reads.steps:
        held = f"nothing of what it reads has steps: {reads.words}"
        raise CellNotTrainableError(name, held, "A cell is trained on sequences.")


def refuse_own_targets(name: str, cell: Cell) -> None:
    """Refuse a cell without a loss that reads the targets. Raises: as above."""
    given = cell.graph.inputs.get("y")
    if cell.graph.loss is None and given is not None and given.draw is None:
        held = "it reads y, the name of the targets, and has no loss of its own"
        fix = "Write its loss, L[t] = ... or L = ..., or give the input another name."
        raise CellNotTrainableError(name, held, fix)


def refuse_other_kinds(name: str, cell: Cell, loss: str, form: Form) -> None:
    """Refuse x or y of another kind than the cell reads. Raises: as above."""
    x, y = (cell.graph.inputs.get(one) for one in ("x", "y"))
    if x is not None and "x" not in form.shapes:
        _refuse_other_x(name, is_index=x.index is not None, form=form)
    if y is None or "y" in form.shapes:
        return
    if (y.index is not None) != (form.target == "class"):
        if y.index is None and form.target == "class" and loss not in NEEDED:
            held = f"its y is a vector, and the data's are {form.n_o} classes"
            fix = f"Save them as vectors: y = np.eye({form.n_o}, dtype=bool)[y]."
            raise CellNotTrainableError(name, held, fix)
        wanted = NEEDED.get(loss, "class indices" if y.index else "vectors")
        raise CellNotTrainableError(
            name,
            f"its loss {loss} needs targets y that are {wanted}; the data's "
            f"are {form.target}",
            "Use nll for class indices, bce for 0 and 1, mse for real numbers.",
        )
    if "y" in cell.graph.times.row_inputs and form.per_step:
        raise CellNotTrainableError(
            name,
            "its loss L has one target y for a whole sequence; the data's are of steps",
            "Give y of shape (n,) or (n, n_o), with --per sequence where it could be "
            "read as one per step; or write L[t] = ... of y[t].",
        )


def _refuse_other_x(name: str, *, is_index: bool, form: Form) -> None:
    if is_index != form.x_is_token:
        found = "tokens" if form.x_is_token else "vectors of real numbers"
        reads = "tokens" if is_index else "vectors"
        raise CellNotTrainableError(
            name,
            f"its x is read as {reads}, but the data holds {found}",
            "Write U @ x[t] for vectors and U[:, x[t]] for tokens.",
        )


@dataclass(frozen=True)
class Sized:
    """A dimension of an input, and its size in the data.

    is_count: whether n is what whole numbers count, one more than the largest of them:
    the dimension may be larger, for not every entry need occur.
    """

    dimension: Dim
    n: int
    name: str
    is_count: bool = False


def sizes_of(sized: Iterable[Sized]) -> dict[Dim, Sized]:
    """What decides each dimension: an array's own size, or else the largest count."""
    known: dict[Dim, Sized] = {}
    for one in sorted(sized, key=lambda s: (s.is_count, -s.n if s.is_count else 0)):
        known.setdefault(one.dimension, one)
    return known


def refuse_other_sizes(name: str, sized: Iterable[Sized]) -> None:
    """Refuse sizes of the data that cannot be the cell's. Raises: as above."""
    every = list(sized)
    known = sizes_of(every)
    for one in every:
        dimension, first = one.dimension, known[one.dimension]
        size = dimension if isinstance(dimension, int) else first.n
        if one.n == size or (one.is_count and one.n < size):
            continue
        if isinstance(dimension, int):
            held = f"its {one.name} has a dimension of {size}, and the data's {one.n}"
            fix = "Fill it up to that size, or change the number in the cell."
            if one.is_count:
                held = f"its {one.name} counts to {size - 1}, and the data's to "
                held += f"{one.n - 1}"
                fix = "Change the number in the cell."
            raise CellNotTrainableError(name, held, fix)
        held = f"{first.name} and {one.name} share the size {dimension}, and the data "
        held += f"has {size} for {first.name} and {one.n} for {one.name}"
        raise CellNotTrainableError(name, held, "Give arrays of one size.")


def reads_targets_back(cell: Cell, scores: str) -> bool:
    """Whether what is scored depends on y: teacher forcing, U @ y[t-1]."""
    return "y" in cell.graph.inputs and "y" in behind(cell, scores)


def unread(cell: Cell) -> list[str]:
    """A remark on what the loss does not depend on, if there is such a thing.

    Its parameters learn nothing: a read-out is made of h, and what is made of h
    afterwards is not read.
    """
    graph = cell.graph
    read = behind(cell, "L")
    known = read | {*graph.times.hidden} | graph.times.wholes
    left = [name for name in graph.definitions if name not in known]
    if not left:
        return []
    given = [n for n, s in graph.inputs.items() if n not in read and s.draw is None]
    also = f", and so does the input {given[0]}" if given else ""
    text = (
        f"the loss does not depend on {', '.join(left)}{also}: it learns nothing. "
        "Give the cell a loss of its own, or call the vector that is to be read out h."
    )
    return [text]


def behind(cell: Cell, name: str) -> set[str]:
    """The definitions and inputs that one depends on, at any step, and itself."""
    graph = cell.graph
    todo, seen = [name], {name}
    while todo:
        name = todo.pop()
        if name not in graph.definitions:
            continue
        for node in walk([graph.definitions[name]]):
            if node.op in ("input", "shift", "named"):
                found = shift_of(node)[0] if node.op == "shift" else name_of(node)
                if found not in seen:
                    seen.add(found)
                    todo.append(found)
    return seen
