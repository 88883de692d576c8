"""The model as ONNX: a Scan over time whose body is the step, of standard operators.

Inputs: x, (tau, n_b, n_x) float32 or (tau, n_b) int64, and every state before the
first step, before_NAME, (n_b, ...). Outputs: prediction, (tau, n_b, n_o); every state
after the last step, after_NAME.
"""

from importlib import import_module
from typing import Any

import numpy as np

from bptt.step.graph import Node
from bptt.train.errors import ExportError, TrainExtraMissingError
from bptt.train.export.single_step import ALIASES, SingleStep

OPSET, IR_VERSION = 18, 9  # Reduce* take their axes as inputs since opset 18

DIRECT = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "neg": "Neg",
    "maximum": "Max", "minimum": "Min", "tanh": "Tanh", "sigmoid": "Sigmoid",
    "relu": "Relu", "softplus": "Softplus", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
    "sin": "Sin", "cos": "Cos", "abs": "Abs", "sign": "Sign", "floor": "Floor",
    "round": "Round", "erf": "Erf",
}  # fmt: skip
COMPARED = {"greater": "Greater", "greater_equal": "GreaterOrEqual"}
REDUCED = {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax",
    "logsumexp": "ReduceLogSumExp",
}  # fmt: skip
LAST = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}


def onnx_model(step: SingleStep) -> bytes:
    """The bytes of an ONNX model, which ONNX's own checker has passed.

    Raises: TrainExtraMissingError without onnx, ExportError for an operation that has
    no row here.
    """
    try:
        onnx: Any = import_module("onnx")
    except ImportError as error:
        raise TrainExtraMissingError("onnx", extra="export") from error
    model = _Writer(onnx, step).model()
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


class _Writer:
    def __init__(self, onnx: Any, step: SingleStep) -> None:
        self._onnx, self._step, self._helper = onnx, step, onnx.helper
        self._constants: dict[bytes, Any] = {}
        self._nodes: list[Any] = []
        self._names: dict[Node, str] = {
            node: f"{name}_before" for node, name in step.before.items()
        }
        if step.x is not None:
            self._names[step.x] = "x_t"

    def model(self) -> Any:
        """A Scan over the step, and the link to the prediction behind it."""
        helper, step = self._helper, self._step
        for node in step.nodes:
            self._add(node)
        o, states = self._identity("o_t", step.o), list(step.states)
        after = [self._identity(f"{n}_after", step.states[n][0]) for n in states]
        read = [self._value(f"{n}_before", self._rows(n)) for n in states]
        given = [
            self._value(name, self._rows(n))
            for name, n in zip(after, states, strict=True)
        ]
        given.append(self._value(o, ("n_b", *step.shape(step.o))))
        read.append(self._x("x_t", ("n_b",)))
        body = helper.make_graph(self._nodes, "step", read, given)
        return self._whole(body)

    def _whole(self, body: Any) -> Any:
        """The model around the body of the Scan."""
        helper, step, states = self._helper, self._step, list(self._step.states)
        inside, outside = self._in_units()
        scan = helper.make_node(
            "Scan",
            [*(f"before_{n}" for n in states), "x_read" if inside else "x"],
            [*(f"after_{n}" for n in states), "o"],
            num_scan_inputs=1,
            body=body,
        )
        link = {"softmax": "Softmax", "sigmoid": "Sigmoid", None: "Identity"}[step.link]
        axis = {"axis": -1} if link == "Softmax" else {}
        graph = helper.make_graph(
            [
                *inside,
                scan,
                helper.make_node(
                    link, ["o"], ["said" if outside else "prediction"], **axis
                ),
                *outside,
            ],
            "bptt",
            [self._x("x", ("tau", "n_b"))]
            + [self._value(f"before_{n}", self._rows(n)) for n in states],
            [self._value("prediction", ("tau", "n_b", *step.shape(step.o)))]
            + [self._value(f"after_{n}", self._rows(n)) for n in states],
            initializer=list(self._constants.values()),
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="bptt",
        )

    def _in_units(self) -> tuple[list[Any], list[Any]]:
        """From x to what is standardised, and from that to a prediction's units."""
        make, step = self._helper.make_node, self._step
        inside, outside = [], []
        if step.x_units is not None:
            mean, scale = map(self._constant, step.x_units)
            inside = [make("Sub", ["x", mean], ["x_less_mean"]),
                      make("Div", ["x_less_mean", scale], ["x_read"])]  # fmt: skip
        if step.y_units is not None:
            mean, scale = map(self._constant, step.y_units)
            outside = [make("Mul", ["said", scale], ["said_scaled"]),
                       make("Add", ["said_scaled", mean], ["prediction"])]  # fmt: skip
        return inside, outside

    def _rows(self, state: str) -> tuple[Any, ...]:
        return ("n_b", *self._step.states[state][1])

    def _value(self, name: str, shape: tuple[Any, ...], kind: str = "FLOAT") -> Any:
        element = getattr(self._onnx.TensorProto, kind)
        return self._helper.make_tensor_value_info(name, element, list(shape))

    def _x(self, name: str, lead: tuple[str, ...]) -> Any:
        if self._step.x_is_token:
            return self._value(name, lead, "INT64")
        return self._value(name, (*lead, self._step.n_x))

    def _constant(self, values: Any) -> str:
        array = np.asarray(values, order="C")
        key = f"{array.dtype} {array.shape}".encode() + array.tobytes()
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            self._constants[key] = self._onnx.numpy_helper.from_array(array, name)
        return str(self._constants[key].name)

    def _of(self, node: Node) -> str:
        if node not in self._names:
            self._names[node] = self._constant(self._step.constants[node])
        return self._names[node]

    def _emit(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self._nodes)}"
        made = self._helper.make_node(kind, list(inputs), [name], **attributes)
        self._nodes.append(made)
        return name

    def _identity(self, name: str, node: Node) -> str:
        """A node under another name; one that is constant gets a row each."""
        made = self._helper.make_node("Identity", [self._of(node)], [name])
        self._nodes.append(made)
        return name

    def _add(self, node: Node) -> None:
        if node.op in ALIASES:
            self._names[node] = self._of(node.inputs[0])
            return
        is_elementwise = node.op in (*DIRECT, *COMPARED, "where")
        inputs = node.inputs if is_elementwise else ()
        wide = [self._widened(child, node) for child in inputs]
        if node.op in DIRECT:
            found = self._emit(DIRECT[node.op], *wide)
        elif node.op in COMPARED:
            truth = self._emit(COMPARED[node.op], *wide)
            found = self._emit("Cast", truth, to=self._onnx.TensorProto.FLOAT)
        elif node.op == "where":
            zero = self._constant(np.float32(0))
            same = self._emit("Equal", wide[0], zero)
            found = self._emit("Where", same, wide[2], wide[1])
        else:
            found = self._other(node)
        self._names[node] = found

    def _widened(self, child: Node, node: Node) -> str:
        """A scalar per row beside vectors needs axes of one behind it."""
        name = self._of(child)
        missing = node.rank - child.rank
        is_row = child not in self._step.constants
        if is_row and missing:
            return self._emit("Unsqueeze", name, self._axes(*range(-missing, 0)))
        return name

    def _other(self, node: Node) -> str:
        first, *more = node.inputs
        if node.op == "lookup" and first in self._step.constants:
            columns = self._constant(self._step.constants[first].T)
            return self._emit("Gather", columns, self._of(more[0]), axis=0)
        a, b = self._of(first), (self._of(more[0]) if more else "")
        if node.op in LAST:
            return self._emit(LAST[node.op], a, axis=-1)
        if node.op in REDUCED:
            axes = self._axes(*range(-first.rank, 0))
            return self._emit(REDUCED[node.op], a, axes, keepdims=0)
        if node.op == "expm1":
            one = self._constant(np.float32(1))
            return self._emit("Sub", self._emit("Exp", a), one)
        if node.op == "matvec":
            column = self._emit("Unsqueeze", b, self._axes(-1))
            product = self._emit("MatMul", a, column)
            return self._emit("Squeeze", product, self._axes(-1))
        if node.op == "matmul":
            return self._emit("MatMul", a, b)
        if node.op == "dot":
            product = self._emit("Mul", a, b)
            return self._emit("ReduceSum", product, self._axes(-1), keepdims=0)
        if node.op == "layer_norm":
            return self._layer_norm(a, self._axes(-1), node.data)
        if node.op == "outer":
            column = self._emit("Unsqueeze", a, self._axes(-1))
            return self._emit("Mul", column, self._emit("Unsqueeze", b, self._axes(-2)))
        raise ExportError(node.op, "this operation has no ONNX operator here yet")

    def _axes(self, *axes: int) -> str:
        return self._constant(np.array(axes, np.int64))

    def _layer_norm(self, a: str, last: str, eps: Any) -> str:
        centred = self._emit("Sub", a, self._emit("ReduceMean", a, last, keepdims=1))
        square = self._emit("Mul", centred, centred)
        variance = self._emit("ReduceMean", square, last, keepdims=1)
        shifted = self._emit("Add", variance, self._constant(np.float32(eps)))
        return self._emit("Div", centred, self._emit("Sqrt", shifted))
