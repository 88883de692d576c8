"""Equations to a step graph, with every dimension inferred.

One walk builds nodes whose dimensions are still unknowns, unifying as it goes; then
each class of equal dimensions gets its name, and the nodes are rebuilt with the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bptt import errors
from bptt.errors import Span
from bptt.language.declared import check_declaration
from bptt.language.dimensions import Names, check_sizes, name_dimensions, resolve
from bptt.language.indexed import Index, read_indices
from bptt.language.inner import expand_inner
from bptt.language.lookups import LookUps
from bptt.language.places import (
    INDEXED,
    IndexedNodes,
    bind_indices,
    core_rank,
    count_places,
    resolve_data,
    undeclared,
)
from bptt.language.ranks import (
    RANKED,
    by_case,
    product_problem,
    rank_problem,
    rank_rule,
)
from bptt.language.syntax import parse_text
from bptt.language.timeless import close_places, open_places, without_step
from bptt.language.times import rewrite_times
from bptt.language.tree import LOSS, Declaration, Piece
from bptt.language.uses import Uses, collect_uses
from bptt.step import shapes
from bptt.step.graph import (
    Graph,
    Initial,
    InputSpec,
    Node,
    ParameterSpec,
    constant,
    rewrite,
    shift,
)
from bptt.step.ops import TABLE, infer
from bptt.step.shapes import DimVar, Shape, ShapeRuleError, unify_inferring


def parse_cell(text: str) -> Graph:
    """The step graph that a cell's text describes.

    Raises: a subclass of `errors.CellError` for every mistake in the text.
    """
    lines, declarations = parse_text(text)
    indices = read_indices(text)
    equations, timeless = open_places(lines)
    try:
        inner = expand_inner(equations, declarations, indices)
    except (errors.InnerStepError, errors.UseBeforeDefinitionError) as error:
        raise without_step(error, timeless) from None
    closed = close_places(inner.equations, timeless, inner.hidden)
    held = {e.name for e in closed if e.name in {*inner.hidden, *inner.wholes}}
    step = rewrite_times(closed, declarations, held)
    hidden = {**step.times.hidden, **inner.hidden}
    uses = collect_uses(step.equations, step.declarations, hidden)
    uses.like = step.like
    uses.times = replace(step.times, hidden=hidden, wholes=inner.wholes)
    graph = _CellBuilder(uses, indices, count_places(step.equations)).build()
    return check_sizes(graph, lines)


class _CellBuilder(LookUps):
    """Builds nodes with unknown dimensions, then resolves them."""

    def __init__(
        self, uses: Uses, indices: Mapping[str, Index], places: Mapping[str, int]
    ) -> None:
        """`places`: per name, the fewest places that it is read with."""
        self._uses, self._places = uses, places
        self._dims: dict[str, DimVar] = {}
        self._indices = bind_indices(indices, self._dims)
        self._indexed = IndexedNodes(
            self._indices, self._node, self._shape_of, self._known, self._show,
            self._dims,
        )  # fmt: skip
        self._shapes: dict[str, Shape] = {}
        self._index, self._counted = {}, {}
        self._leaves: dict[object, Node] = {}
        self._definitions: dict[str, Node] = {}
        self._nodes: dict[int, tuple[Piece, Node]] = {}
        for name in uses.inputs:
            if uses.is_index(name):
                self._index[name] = DimVar()
                self._shapes[name] = ()
        self._shapes |= {n: () for n in uses.as_number if n not in uses.declared}

    def build(self) -> Graph:
        """The step of all equations, with every shape settled."""
        for declaration in self._uses.declared.values():
            is_input = declaration.name in self._uses.inputs
            check_declaration(declaration, is_input=is_input)
        for name, equation in self._uses.defined.items():
            is_number = name in self._uses.as_number
            make = self._number if is_number else self._node
            expression = make(equation.expression)
            self._indexed.check_free(expression, equation)
            self._settle(name, expression)
            if is_number:
                counted = self._counted.setdefault(name, DimVar())
                self._join_counted(equation.expression, expression, counted)
            named = Node("named", (expression,), self._shapes[name], name)
            self._definitions[name] = named
        self._check_indices()
        return self._resolved()

    # ----- names and their shapes -----

    def _declared_shape(self, declaration: Declaration) -> Shape:
        def find(dim: shapes.Dim) -> shapes.Dim:
            if isinstance(dim, str) and "+" in dim:
                return self._indexed.sum_dim(dim, find)
            return (
                self._dims.setdefault(dim, DimVar(dim)) if isinstance(dim, str) else dim
            )

        return tuple(map(find, declaration.shape))

    def _shape_of(self, name: str) -> Shape:
        """A name's shape: known, declared, or by its first letter."""
        if name not in self._shapes:
            declaration = self._uses.declared.get(name)
            if name in self._uses.like:
                self._shapes[name] = self._node(self._uses.like[name]).shape
            elif declaration is not None:
                self._shapes[name] = self._declared_shape(declaration)
            elif name == LOSS:
                self._shapes[name] = ()
            else:
                rank = self._first_places(name) + 1 + name[0].isupper()
                self._shapes[name] = tuple(DimVar() for _ in range(rank))
        return self._shapes[name]

    def _first_places(self, name: str) -> int:
        """The places of a name that no line declares: one at most."""
        found = self._places.get(name, 0)
        if found > 1 and name not in self._uses.defined:
            raise undeclared(name, found, self._span_of(name))
        return found

    def _span_of(self, name: str) -> Span:
        uses = self._uses
        tables = (uses.bare, uses.now, uses.before, uses.after, uses.carried)
        return next(table[name] for table in tables if name in table)

    def _settle(self, name: str, expression: Node) -> None:
        """Compare an equation's shape with what was assumed or declared of its name."""
        span = self._uses.defined[name].span
        found = expression.shape
        if name == LOSS and found != ():
            raise errors.LossShapeError(
                span,
                f"L[t] is the loss of one step, a scalar, but this is "
                f"{shapes.RANK_NAMES[len(found)]}",
                fix="sum(...), mean(...), or a loss such as nll(softmax(o[t]), y[t])",
                shapes=self._known(),
            )
        if name in self._uses.as_number and found != ():
            raise errors.IndexKindError(
                span,
                f"{name}[t] is computed by the cell and picks a column, so it is one "
                f"whole number, but this is {shapes.RANK_NAMES[len(found)]}",
                fix="argmax(u), sample(p, u), or an integer input that no line defines",
                shapes=self._known(),
            )
        if name not in self._shapes and name not in self._uses.declared:
            self._shapes[name] = found
            return
        assumed = self._shape_of(name)
        try:
            shapes.unify_shapes(unify_inferring, assumed, found)
        except ShapeRuleError as error:
            how = "declared" if name in self._uses.declared else "read above"
            kind = (
                errors.RankError if error.kind == "rank" else errors.DimensionClashError
            )
            raise kind(
                span,
                f"{name} is {how} as {shapes.RANK_NAMES[len(assumed)]} "
                f"{self._show(assumed)}, but its equation gives "
                f"{shapes.RANK_NAMES[len(found)]} {self._show(found)}",
                fix=self._by_letter(self._uses.defined[name].expression)
                or f"declare it: `{name}: {self._show(found)}`",
                shapes=self._known(),
            ) from None

    def _by_letter(self, expr: Piece) -> str:
        """What to declare, if a name is read at places alone, as a vector at each."""
        for part in expr.parts():
            name = part.name if part.op in ("read", "parameter") else ""
            is_open = name not in {*self._uses.defined, *self._uses.declared}
            if is_open and name and self._places.get(name) == 1 and name[0].islower():
                dim = self._show(self._shape_of(name)[:1])[1:-1]
                return (
                    f"{name} has a place wherever it is read, so it is a vector at "
                    f"each; if it is a number there, declare `{name}: {dim}`"
                )
        return ""

    # ----- expressions -----

    def _node(self, expr: Piece) -> Node:
        # An argument that a body reads twice is one expression, and one node. The
        # expression is kept, since its address may else be another's later.
        key = id(expr)  # order-free: an address tells two expressions apart
        if key not in self._nodes:
            self._nodes[key] = expr, self._new_node(expr)
        return self._nodes[key][1]

    def _new_node(self, expr: Piece) -> Node:
        if expr.op == "constant":
            assert isinstance(expr.data, float)
            return constant(expr.data)
        if expr.op == "parameter":
            return self._leaf("parameter", str(expr.data))
        if expr.op == "read":
            return self._read(expr)
        if expr.op == "lookup":
            return self._lookup(expr)
        if expr.op in INDEXED:
            return self._indexed.make(expr)
        if expr.op == RANKED:
            return self._ranked(expr)
        if expr.op == "nll" and self._is_number(expr.arguments[1]):
            return self._nll_of_number(expr)
        nodes = tuple(self._node(argument) for argument in expr.arguments)
        try:
            op = self._operation(expr, nodes)
            is_ranked = TABLE[op].data == "rank"
            data: object = len(nodes[0].shape) if is_ranked else expr.data
            shape = infer(op, nodes, data, unify_inferring)
        except ShapeRuleError as error:
            raise self._shape_error(expr, nodes, error) from None
        return Node(op, nodes, shape, data)

    def _ranked(self, expr: Piece) -> Node:
        node = self._node(expr.arguments[0])
        wrong = rank_problem(expr, node.rank, self._show(node.shape))
        if wrong is not None:
            problem, fix = wrong
            raise errors.RankError(expr.span, problem, fix=fix, shapes=self._known())
        return node

    def _leaf(self, kind: str, name: str) -> Node:
        key = (kind, name)
        if key not in self._leaves:
            self._leaves[key] = Node(kind, (), self._shape_of(name), name)
        return self._leaves[key]

    def _read(self, expr: Piece) -> Node:
        assert isinstance(expr.data, tuple)
        name, lag = expr.data
        if lag:
            if expr.data not in self._leaves:
                self._leaves[expr.data] = shift(name, lag, self._shape_of(name))
            return self._leaves[expr.data]
        return self._definitions.get(name) or self._leaf("input", name)

    def _operation(self, expr: Piece, nodes: tuple[Node, ...]) -> str:
        """The row of the table that an expression means, given its arguments' ranks."""
        if expr.op == "product":
            return "matmul" if nodes[1].rank == 2 else "matvec"
        if expr.op == "solve" and nodes[1].rank == 2:
            return "solve_columns"
        if expr.op == "nll":
            target = expr.arguments[1]
            is_read = target.op == "read" and isinstance(target.data, tuple)
            if is_read and target.data[0] in self._index:  # type: ignore[index]
                if nodes[0].rank == 1:
                    self._join_index(target, nodes[0].shape[0])
                return "nll"
            if not nodes[0].rank:
                raise ShapeRuleError("rank", "a probability alone is no distribution")
            return "nll_soft"
        return expr.op

    # ----- errors -----

    def _shape_error(
        self, expr: Piece, nodes: tuple[Node, ...], error: ShapeRuleError
    ) -> errors.CellError:
        known = self._known()
        if expr.op == "product":
            problem, fix = product_problem(expr, nodes, error, self._show)
            return errors.ProductShapeError(expr.span, problem, fix=fix, shapes=known)
        described = ", ".join(
            f"{argument.text} is {shapes.RANK_NAMES[node.rank]} "
            f"{self._show(node.shape)}"
            for argument, node in zip(expr.arguments, nodes, strict=True)
        )
        if error.kind == "rank":
            rule, fix = rank_rule(expr.op, nodes[0].rank)
            ranks = [node.rank for node in nodes]
            if sorted(ranks) == [1, 2]:
                matrix = self._show(nodes[ranks.index(2)].shape)
                fix = by_case(expr, ranks, matrix, self._uses.defined) or fix
            fix = self._by_letter(expr) or fix
            return errors.RankError(
                expr.span, f"{described}: {rule}", fix=fix, shapes=known
            )
        return errors.DimensionClashError(
            expr.span,
            f"{described}: one dimension would need two sizes, {error.detail}",
            fix="declare the two with one name, or bring one to the other's size with "
            "a matrix product",
            shapes=known,
        )

    def _known(self) -> str:
        names = self._dimension_names()
        return ", ".join(
            f"{name} {shapes.show_shape(resolve(shape, names, unknown='?'))}"
            for name, shape in self._shapes.items()
            if name not in self._index
        )

    def _show(self, shape: Shape) -> str:
        names = self._dimension_names()
        return shapes.show_shape(resolve(shape, names, unknown="?"))

    def _dimension_names(self, *, is_final: bool = False) -> Names:
        """After what a person wrote, not after what was added to it."""
        hidden = self._uses.times.hidden
        shapes = self._named_after()
        seen = {name: shape for name, shape in shapes.items() if name not in hidden}
        definitions = [name for name in self._definitions if name not in hidden]
        known: Names = dict.fromkeys(self._indexed.sums.roots(), "")
        names = name_dimensions(seen, definitions, self._index, self._uses.now, known)
        rest = name_dimensions(shapes, (), {}, (), names) if hidden else {}
        names |= rest
        self._indexed.sums.name(names, self._known if is_final else None)
        return names

    # ----- resolution -----

    def _check_indices(self) -> None:
        """`n_v` in a declaration is the dimension of the vector v, if there is one."""
        for dim, variable in self._dims.items():
            vector = self._shapes.get(dim.removeprefix("n_"))
            if not dim.startswith("n_") or vector is None or len(vector) != 1:
                continue
            try:
                unify_inferring(variable, vector[0])
            except ShapeRuleError as error:
                span = next(
                    d.span for d in self._uses.declared.values() if dim in d.shape
                )
                raise errors.DeclarationError(
                    span,
                    f"{dim} is the dimension of {dim[2:]}, which has another size: "
                    f"{error.detail}",
                    fix="use another name for this dimension",
                    shapes=self._known(),
                ) from None

    def _named_after(self) -> dict[str, Shape]:
        """Shapes by name for naming dimensions: a vector at every place is a vector."""
        found = dict(self._shapes)
        for name, equation in self._uses.defined.items():
            n = core_rank(equation)
            if n and name in self._shapes:
                found[name] = self._shapes[name][n:]
                found[f"{name}_places"] = self._shapes[name]
        return found

    def _resolved(self) -> Graph:
        names = self._dimension_names(is_final=True)
        for dim, variable in self._dims.items():  # also of an index that nothing reads
            names.setdefault(variable.find(), dim)

        def step(node: Node, inputs: tuple[Node, ...]) -> Node:
            data = resolve_data(node, names)
            return Node(node.op, inputs, resolve(node.shape, names), data)

        new = rewrite(self._definitions.values(), step)
        self._check_states(names)
        parameters = {
            name: ParameterSpec(resolve(self._shapes[name], names), self._initial(name))
            for name in self._uses.bare
        }
        inputs = {
            name: InputSpec(
                resolve(self._shapes[name], names),
                resolve((self._index[name],), names)[0]
                if name in self._index
                else None,
                self._initial(name),
            )
            for name in self._uses.inputs
        }
        return Graph(
            {name: new[node] for name, node in self._definitions.items()},
            parameters,
            inputs,
            tuple(self._uses.carried),
            LOSS if LOSS in self._definitions else None,
            frozenset(self._uses.after),
            {name: (index.first, resolve((self._indices.dims[name],), names)[0])
             for name, index in self._indices.declared.items()},
            self._uses.times,
        )  # fmt: skip

    def _check_states(self, names: Names) -> None:
        """Every dimension needs a parameter or a real input to give it a size.

        A class says which of them it is, never how many there are.
        """
        sized: set[DimVar] = set()
        for name in (*self._uses.bare, *self._uses.inputs):
            sized.update(dim for dim in self._shapes[name] if isinstance(dim, DimVar))
        roots = {dim.find() for dim in sized}
        self._indexed.sums.add_sized(roots)
        for name, span in self._uses.carried.items():
            shape = self._shapes[name]
            for dim in shape:
                if not isinstance(dim, DimVar) or dim.find() in roots:
                    continue
                if isinstance(dim.find().value, int):
                    continue
                known = [3 if d is dim else d for d in shape]
                fixed = self._show(tuple(known)) if len(shape) > 1 else "3"
                raise errors.UnsizedStateError(
                    span,
                    f"{name} is read as {shapes.RANK_NAMES[len(shape)]} "
                    f"{self._show(shape)}, but no parameter and no real input has the "
                    f"dimension {names[dim.find()]}",
                    fix=f"declare a scalar, `{name}: ()`, or a fixed size, "
                    f"`{name}: {fixed}`",
                    shapes=self._known(),
                )

    def _initial(self, name: str) -> Initial | None:
        declaration = self._uses.declared.get(name)
        return None if declaration is None else declaration.initial
