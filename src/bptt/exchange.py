"""Parameters of recurrent layers of torch and Keras as those of cells, and back.

    cell, params = from_torch(torch.nn.LSTM(3, 4, num_layers=2))
    state_dict = to_torch(cell, params)

Neither library is imported: a module tells its parameters itself, and a state
dictionary or a list of weights will do. Which block of which tensor is which letter of
the cell stands in `bptt.weights`; here is only how layers and directions are numbered.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt import cells, errors
from bptt.cell import Cell
from bptt.compose import bidirectional, stack
from bptt.step.shapes import Array
from bptt.weights import KERAS, TORCH, TORCH_MODES, Stacking, torch_cell

Params = dict[str, Array]
ENDS = ("_fw", "_bw")  # of names in a bidirectional cell
KERAS_TENSORS = ("kernel", "recurrent_kernel", "bias")
BY_GATES = {1: "elman", 3: "gru", 4: "lstm"}
TORCH_NAME = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<tensor>(?:weight|bias)_(?:ih|hh|hr))"
    r"(?:_l(?P<layer>\d+)(?P<reverse>_reverse)?)?"
)


@dataclass(frozen=True)
class _CellNetwork:
    """Layers of one or two directions: a kind of cell for each layer."""

    kinds: tuple[str, ...]
    n_directions: int
    is_one_size: bool = True

    def make_cell(self) -> Cell:
        """The cell of all layers, as `bptt.stack` and `bptt.bidirectional` make it."""
        layers = [cells.get(kind) for kind in self.kinds]
        if self.n_directions == 2:
            layers = [bidirectional(layer) for layer in layers]
        if len(layers) == 1:
            return layers[0]
        if len(set(self.kinds)) == 1 and self.is_one_size:
            return stack(layers[0], len(layers))
        return stack(layers)

    def places(self, table: Mapping[str, Stacking]) -> Iterator[_LayerPlace]:
        """Every layer and direction, in the order in which libraries list them."""
        for layer, kind in enumerate(self.kinds):
            for direction in range(self.n_directions):
                yield _LayerPlace(self, layer, direction, table[kind])


@dataclass(frozen=True)
class _LayerPlace:
    """One direction of one layer, and the names of its parameters in the whole."""

    network: _CellNetwork
    layer: int
    direction: int
    stacking: Stacking

    def rename(self, own: Mapping[str, Array]) -> Params:
        """Parameters of one cell under their names in the whole.

        The input of a layer above another is the concatenation of both its directions,
        where the cell has a matrix for each.
        """
        found: Params = {}
        for name, array in own.items():
            new = self._name(name)
            if self._is_cut(name):
                halves = np.split(array, 2, axis=1)
                found |= {new + e: half for e, half in zip(ENDS, halves, strict=True)}
            else:
                found[new] = array
        return found

    def pick(self, params: Mapping[str, Array]) -> Params:
        """The opposite of `rename`."""
        found = {}
        for name in cells.get(self.network.kinds[self.layer]).parameters:
            new = self._name(name)
            if self._is_cut(name):
                halves = [params[new + end] for end in ENDS]
                found[name] = np.concatenate(halves, axis=1)
            else:
                found[name] = np.asarray(params[new])
        return found

    def _name(self, name: str) -> str:
        end = ENDS[self.direction] if self.network.n_directions == 2 else ""
        number = f"_{self.layer + 1}" if len(self.network.kinds) > 1 else ""
        return f"{name}{end}{number}"

    def _is_cut(self, name: str) -> bool:
        is_input = name.startswith("U")
        return is_input and self.layer > 0 and self.network.n_directions == 2


def _assemble(
    network: _CellNetwork,
    sheets: Sequence[Mapping[str, Array]],
    table: Mapping[str, Stacking],
) -> tuple[Cell, Params]:
    """A cell and its parameters from the tensors of every layer and direction."""
    cell = network.make_cell()
    found: Params = {}
    for place, tensors in zip(network.places(table), sheets, strict=True):
        found |= place.rename(place.stacking.split(tensors))
    sizes = {
        dim: size
        for name, array in found.items()
        for dim, size in zip(cell.parameters[name], array.shape, strict=True)
    }
    dtype = next(iter(found.values())).dtype
    params = {}
    for name, dims in cell.parameters.items():
        # A layer without biases has zeros here.
        zeros = np.zeros([sizes[dim] for dim in dims], dtype)
        params[name] = np.array(found.get(name, zeros))
    return cell, params


def _recognise(cell: Cell, table: Mapping[str, Stacking], library: str) -> _CellNetwork:
    """The layers that a cell was made of.

    Raises: UntranslatableCellError.
    """
    numbers = {int(m[1]) for n in cell.parameters if (m := re.search(r"_(\d+)", n))}
    n_layers = max({1, *numbers})
    n_directions = 2 if any("_fw" in name for name in cell.parameters) else 1
    same = [(kind,) * n_layers for kind in table]
    mixed = itertools.product(table, repeat=n_layers) if 1 < n_layers <= 3 else ()
    for kinds in dict.fromkeys((*same, *mixed)):
        for is_one_size in (True, False):
            network = _CellNetwork(kinds, n_directions, is_one_size)
            n_needed = sum(len(cells.get(kind).parameters) for kind in kinds)
            if n_needed * n_directions > len(cell.parameters):
                break
            if network.make_cell().canonical_text == cell.canonical_text:
                return network
    raise errors.UntranslatableCellError(
        f"{library} has no layer for {cell!r}; it has layers for "
        f"{', '.join(table)}, also stacked and bidirectional, without a read-out"
    )


# ----- torch -----


def from_torch(source: Any, *, nonlinearity: str = "tanh") -> tuple[Cell, Params]:
    """A recurrent layer of torch as a cell and its parameters.

    source: a `torch.nn.RNN`, `LSTM` or `GRU`, with any number of layers, both
    directions and `proj_size`, a cell such as `torch.nn.LSTMCell`, or a state
    dictionary that holds one of them, under any prefix. nonlinearity: "tanh" or "relu",
    which a state dictionary of an RNN does not tell.

    torch's two biases become one, their sum, except in the GRU's candidate. Parameters
    are copies, of torch's element type.
    Returns: the cell, by `bptt.stack` and `bptt.bidirectional` where there are several
    layers or directions, and name -> array.
    Raises: UnknownLayerError.
    """
    is_module = hasattr(source, "state_dict")
    state = source.state_dict() if is_module else source
    if not isinstance(state, Mapping):
        raise errors.UnknownLayerError(
            f"from_torch takes a module or its state dictionary, got "
            f"{type(source).__name__}"
        )
    sheets = _torch_sheets(state)
    mode = getattr(source, "mode", "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH")
    kind = _torch_kind(sheets[0, 0], TORCH_MODES.get(mode, "elman"))
    n_layers = 1 + max(layer for layer, _ in sheets)
    n_directions = 1 + max(direction for _, direction in sheets)
    network = _CellNetwork((kind,) * n_layers, n_directions)
    return _assemble(network, [sheets[key] for key in sorted(sheets)], TORCH)


def _torch_sheets(state: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, Array]]:
    """The tensors of every (layer, direction), by torch's name without numbers."""
    sheets: dict[tuple[int, int], dict[str, Array]] = {}
    prefixes = set()
    for name, value in state.items():
        match = TORCH_NAME.fullmatch(name)
        if match is not None:
            prefixes.add(match["prefix"])
            key = (int(match["layer"] or 0), int(match["reverse"] is not None))
            sheets.setdefault(key, {})[match["tensor"]] = _as_array(value)
    if len(prefixes) != 1:
        found = ", ".join(map(repr, sorted(prefixes))) or "none"
        raise errors.UnknownLayerError(
            "from_torch needs the parameters of one recurrent layer, weight_ih_l0 and "
            f"so on; prefixes of such names found: {found}; names given: "
            f"{', '.join(list(state)[:6]) or 'none'}"
        )
    return sheets


def _torch_kind(tensors: Mapping[str, Array], elman: str) -> str:
    is_projected = "weight_hr" in tensors
    n_units = tensors["weight_hr" if is_projected else "weight_hh"].shape[1]
    n_gates = tensors["weight_ih"].shape[0] // n_units
    kind = elman if n_gates == 1 else BY_GATES.get(n_gates, "")
    if not kind:
        raise errors.UnknownLayerError(
            f"weight_ih_l0 has {n_gates} blocks of {n_units} rows; an RNN has 1, a GRU "
            "3, an LSTM 4"
        )
    return torch_cell(kind, tensors)


def to_torch(cell: Cell, params: Mapping[str, Any]) -> Params:
    """The state dictionary of torch's layer for a cell, as NumPy arrays.

    `module.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(...).items()})`
    loads it. A bias goes into `bias_ih`, and `bias_hh` is zero; in the GRU's candidate
    `bias_ih` is b_n and `bias_hh` d_n.
    Raises: UntranslatableCellError; for torch's layers are of one kind and size.
    """
    network = _recognise(cell, TORCH, "torch")
    if len(set(network.kinds)) > 1 or not network.is_one_size:
        raise errors.UntranslatableCellError(
            f"torch's layers are of one kind and one size, this cell has layers of "
            f"{', '.join(network.kinds)}, of sizes of their own"
        )
    found: Params = {}
    for place in network.places(TORCH):
        end = f"_l{place.layer}" + ("_reverse" if place.direction else "")
        tensors = place.stacking.join_values(place.pick(params))
        found |= {name + end: array for name, array in tensors.items()}
    return found


def _as_array(value: Any) -> Array:
    """A tensor's values, in its own memory where that can be."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


# ----- Keras -----


def from_keras(source: Any, *, reset_after: bool = True) -> tuple[Cell, Params]:
    """Recurrent layers of Keras as a cell and its parameters.

    source: a `SimpleRNN`, `LSTM`, `GRU` or a `Bidirectional` of one, or its list of
    weights (kernel, recurrent kernel, bias), or a list of those, first layer first.
    reset_after: of a GRU given by weights without a bias; a bias tells it.
    Returns: as `from_torch`.
    Raises: UnknownLayerError.
    """
    layers = [source] if _is_layer(source) else list(source)
    kinds, sheets, counts = [], [], set()
    for layer in layers:
        kind, directions = _read_keras(layer, reset_after)
        kinds.append(kind)
        counts.add(len(directions))
        sheets += directions
    if len(counts) != 1:
        raise errors.UnknownLayerError(
            "from_keras takes layers that are all bidirectional, or none of them; got "
            f"{len(layers)} layers of both sorts"
        )
    units = {sheet["recurrent_kernel"].shape[1] for sheet in sheets}
    network = _CellNetwork(tuple(kinds), counts.pop(), len(units) == 1)
    return _assemble(network, sheets, KERAS)


def _is_layer(source: Any) -> bool:
    """A layer object or a list of arrays, not a list of those."""
    if hasattr(source, "get_weights"):
        return True
    if not isinstance(source, list | tuple) or not source:
        raise errors.UnknownLayerError(
            "from_keras takes a layer, its list of weights, or a list of those; got "
            f"{source!r:.60}"
        )
    return all(hasattr(item, "shape") for item in source)


def _read_keras(layer: Any, reset_after: bool) -> tuple[str, list[dict[str, Array]]]:
    """The kind of cell, and the tensors of every direction, matrices as the cell's."""
    given = layer
    config: Mapping[str, Any] = {}
    if hasattr(layer, "get_weights"):
        config = _keras_config(layer)
        given = layer.get_weights()
    weights = [_as_array(value) for value in given]
    size = {2: 2, 3: 3, 4: 2, 6: 3}.get(len(weights))
    if size is None:
        raise errors.UnknownLayerError(
            f"a recurrent layer of Keras has 2 or 3 arrays of weights, in both "
            f"directions 4 or 6; got {len(weights)}"
        )
    reset_after = config.get("reset_after", reset_after)
    kinds, sheets = set(), []
    for start in range(0, len(weights), size):
        tensors = dict(zip(KERAS_TENSORS, weights[start : start + size], strict=False))
        kinds.add(_keras_kind(tensors, config.get("activation", "tanh"), reset_after))
        sheets.append(_turn_keras(tensors))
    return kinds.pop(), sheets


def _keras_config(layer: Any) -> Mapping[str, Any]:
    """The settings of a layer, which must be those of a cell of the table."""
    config = layer.get_config()
    if "layer" in config:  # of a Bidirectional
        if config.get("merge_mode") != "concat":
            raise errors.UnknownLayerError(
                f"a Bidirectional with merge_mode={config.get('merge_mode')!r} is no "
                "cell; a bidirectional cell passes both directions on: 'concat'"
            )
        config = config["layer"]["config"]
    activations = {"tanh", "relu"} if "recurrent_activation" not in config else {"tanh"}
    wanted: dict[str, set[Any]] = {
        "activation": activations,
        "recurrent_activation": {"sigmoid"},
        "go_backwards": {False},
    }
    for key, values in wanted.items():
        if key in config and config[key] not in values:
            raise errors.UnknownLayerError(
                f"a {type(layer).__name__} with {key}={config[key]!r} is no cell of "
                f"bptt.cells, which has {' or '.join(map(repr, sorted(values)))}"
            )
    return config  # type: ignore[no-any-return]


def _keras_kind(
    tensors: Mapping[str, Array], activation: str, reset_after: bool
) -> str:
    n_gates = tensors["kernel"].shape[1] // tensors["recurrent_kernel"].shape[0]
    kind = BY_GATES.get(n_gates)
    if kind is None:
        raise errors.UnknownLayerError(
            f"the kernel has {n_gates} blocks of "
            f"{tensors['recurrent_kernel'].shape[0]} columns; a SimpleRNN has 1, a GRU "
            "3, an LSTM 4"
        )
    if kind == "elman" and activation == "relu":
        return "elman_relu"
    if kind == "gru":
        if "bias" in tensors:
            reset_after = tensors["bias"].ndim == 2
        return "gru" if reset_after else "gru_reset_before"
    return kind


def _turn_keras(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Matrices with a row per unit, and each row of a bias of two as a bias."""
    found = {name: array.T for name, array in tensors.items() if name != "bias"}
    bias = tensors.get("bias")
    if bias is not None and bias.ndim == 2:
        found |= {"bias": bias[0], "bias[1]": bias[1]}
    elif bias is not None:
        found["bias"] = bias
    return found


def to_keras(cell: Cell, params: Mapping[str, Any]) -> list[list[Array]]:
    """A list of weights for each layer of Keras, for its `set_weights`.

    Kernel, recurrent kernel and bias; of a bidirectional cell those of the forward
    layer, then those of the backward one. The cell `gru` is a GRU with
    `reset_after=True`, `gru_reset_before` one with False.
    Raises: UntranslatableCellError.
    """
    network = _recognise(cell, KERAS, "Keras")
    layers: list[list[Array]] = [[] for _ in network.kinds]
    for place in network.places(KERAS):
        tensors = place.stacking.join_values(place.pick(params))
        bias = tensors["bias"]
        if "bias[1]" in tensors:
            bias = np.stack([bias, tensors["bias[1]"]])
        kernels = [np.ascontiguousarray(tensors[n].T) for n in KERAS_TENSORS[:2]]
        layers[place.layer] += [*kernels, bias]
    return layers
