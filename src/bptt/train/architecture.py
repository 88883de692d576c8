"""What options make of a cell before training: layers, noise, embedding, read-out.

Every change is one of equations, so that `cell.cell` of a run says what was trained.
"""

import re
from dataclasses import replace

from bptt.cell import Cell
from bptt.compose import bidirectional, dropout, stack, zoneout
from bptt.compose.noise import is_multiplied
from bptt.language import print_graph
from bptt.step import variants
from bptt.step.variants import free_name, output_names
from bptt.train.data.form import Form
from bptt.train.errors import CellNotTrainableError, OptionError
from bptt.train.options import TrainingOptions

PRODUCT = re.compile(r"(?<![\w.])(\w+) @ (\w+\[t(?:[+-]\d+)?\])")
DECLARED = re.compile(r"(\w+): ")
FORGET_BIAS = re.compile(r"b_f(_(\d+|fw|bw))*")
MASKS = {"step": "dropout", "window": "variational_dropout"}


def layers(cell: Cell, options: TrainingOptions) -> Cell:
    """A cell with normalisation, noise, both directions and layers, as options say."""
    if options.layer_norm:
        cell = layer_normalised(cell, options.cell)
    if options.recurrent_dropout:
        state = "h" if "h" in cell.states else cell.states[0]
        if not is_multiplied(cell, state):
            expected = f"a cell with a product W @ {state}[t-1]"
            raise OptionError("--recurrent-dropout", f"of {options.cell}", expected)
        is_kept = options.mask != "step"
        rates = {state: options.recurrent_dropout}
        cell = dropout(cell, variational=is_kept, **rates)
    if options.zoneout:
        cell = zoneout(cell, options.zoneout)
    if options.bidirectional:
        cell = bidirectional(cell)
    if options.layers > 1:
        cell = stack(
            cell, options.layers, residual=options.residual, dropout=options.dropout
        )
    if options.mask is not None:
        cell = _with_masks(cell, MASKS[options.mask])
    return cell


def layer_normalised(cell: Cell, name: str) -> Cell:
    """Every product of a matrix with x or a state, normalised, with a gain.

        W @ h[t-1]  becomes  k_W * layer_norm(W @ h[t-1])

    (Ba, Kiros and Hinton, 2016, equations 20 and 21; the gains begin at 1, and the
    cell's own bias is their bias.)
    Raises: OptionError where the cell has no such product, or is normalised already.
    """
    text = cell.canonical_text
    if "layer_norm(" in text:
        raise OptionError("--layer-norm", f"of {name}", "one not normalised yet")
    gains: dict[str, str] = {}

    def normal(found: re.Match[str]) -> str:
        matrix, vector = found.groups()
        shape = cell.parameters.get(matrix, ())
        if len(shape) != 2:
            return found[0]
        gain = free_name(f"k_{matrix}", {*cell.parameters, *cell.nodes})
        gains[gain] = str(shape[0])
        return f"{gain} * layer_norm({matrix} @ {vector})"

    changed = PRODUCT.sub(normal, text)
    if not gains:
        raise OptionError("--layer-norm", f"of {name}", "products W @ h[t-1]")
    declared = "".join(f"{gain}: {rows} = 1.0\n" for gain, rows in gains.items())
    return Cell(declared + changed)


def embedded(cell: Cell, *, is_tied: bool) -> tuple[Cell, str]:
    """A cell that reads e[t] = E[:, x[t]] in the place of a vector x, and E's name.

    Its size is n_e; if E is to be the read-out's matrix too, that of the output.
    Raises: CellNotTrainableError if x is no vector of a size with a name.
    """
    spec = cell.graph.inputs.get("x")
    if spec is None or len(spec.shape) != 1 or not isinstance(spec.shape[0], str):
        found = "its x is no vector, and an embedding stands in the place of one"
        raise CellNotTrainableError("the cell", found, "Write U @ x[t] in it.")
    taken = {*cell.parameters, *cell.nodes, *cell.inputs}
    matrix, vector = free_name("E", taken), free_name("e", taken)
    old, new = spec.shape[0], free_name("n_e", cell.dims)
    if is_tied:
        new = str(cell.graph.definitions[_outputs(cell)[-1]].shape[0])
    # Where x has the size of h, that name stays with h.
    entries = "n_x" if "n_x" not in cell.dims else old
    lines = [f"{matrix}: ({new}, {entries}) = uniform(-0.1, 0.1)"]
    equations = []
    for line in cell.canonical_text.splitlines():
        name, is_declared = _declared(line)
        if not is_declared or " = input" in line:
            equations.append(re.sub(r"\bx\[", f"{vector}[", line))
        elif line.strip() != f"x: {old}":
            is_parameter = name in cell.parameters
            lines.append(_resized(line, old, new, is_parameter=is_parameter))
    return (
        Cell("\n".join([*lines, f"{vector}[t] = {matrix}[:, x[t]]", *equations])),
        matrix,
    )


def _outputs(cell: Cell) -> tuple[str, ...]:
    """The one vector that is read out.

    Raises: CellNotTrainableError for a cell with a loss of its own, or another output.
    """
    outputs = output_names(cell.graph)
    if cell.graph.loss is not None or len(outputs) != 1:
        found = "--tied makes its read-out, o[t] = c + E.T @ h[t], and it has another"
        raise CellNotTrainableError("the cell", found, "Leave --tied out.")
    return outputs


def _declared(line: str) -> tuple[str, bool]:
    """The name at a line's start, and whether it declares: `W: ...`, `j = 1, ...`."""
    found = DECLARED.match(line)
    return (found[1], True) if found else ("", ", ..., " in line and "[" not in line)


def _resized(line: str, old: str, new: str, *, is_parameter: bool) -> str:
    """A declaration with another size; a matrix that is square now stays Glorot."""
    changed = re.sub(rf"\b{re.escape(old)}\b", new, line)
    if is_parameter and changed != line and "(" in changed and "=" not in changed:
        return changed + " = glorot"
    return changed


def tied(cell: Cell, matrix: str) -> Cell:
    """The read-out o[t] = c + E^T h[t] (Press and Wolf, 2017), with its loss.

    Raises: CellNotTrainableError for a cell with a loss of its own, or two outputs.
    """
    outputs = _outputs(cell)
    taken = {*cell.parameters, *cell.nodes, *cell.inputs}
    o, c, y = (free_name(name, taken) for name in ("o", "c", "y"))
    return Cell(
        cell.canonical_text + f"{o}[t] = {c} + {matrix}.T @ {outputs[0]}[t]\n"
        f"L[t] = nll(softmax({o}[t]), {y}[t])\n"
    )


def with_tokens(cell: Cell, options: TrainingOptions, form: Form) -> Cell:
    """A cell that reads integers: by look-ups in its matrices, or by an embedding.

    Raises: CellNotTrainableError, OptionError if n_e and n_h cannot be one.
    """
    if not (options.embedding or options.tied):
        return Cell(print_graph(variants.with_tokens(cell.graph, {"x"})))
    if options.tied and (form.target != "class" or form.n_o != form.n_x):
        found = f"targets of {form.n_o} and inputs of {form.n_x} entries"
        fix = "Leave --tied out: one matrix stands for one vocabulary."
        raise CellNotTrainableError(options.cell, f"the data has {found}", fix)
    made, matrix = embedded(cell, is_tied=options.tied)
    return tied(made, matrix) if options.tied else made


def forget_biases(cell: Cell, name: str) -> list[str]:
    """The parameters that are forget biases: b_f, and b_f_1 of a layer.

    Raises: OptionError where there is none.
    """
    found = [one for one in cell.parameters if FORGET_BIAS.fullmatch(one)]
    if not found:
        expected = "a cell with a forget gate of bias b_f, such as lstm"
        raise OptionError("--forget-bias", f"of {name}", expected)
    return found


def _with_masks(cell: Cell, rule: str) -> Cell:
    """Every mask drawn by one rule: new at every step, or one for the window."""
    rules = set(MASKS.values())
    inputs = {
        name: replace(spec, draw=replace(spec.draw, rule=rule))
        if spec.draw is not None and spec.draw.rule in rules
        else spec
        for name, spec in cell.graph.inputs.items()
    }
    return Cell(print_graph(replace(cell.graph, inputs=inputs)))
