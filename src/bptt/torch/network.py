"""The layers and directions of a module of torch.nn, each one call of a cell.

What kernels cannot run, and what is wrong, goes to torch.nn's own forward: it has the
answer, or the error, that a program written for torch.nn expects.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
)

from bptt import cells
from bptt.call import share_limit
from bptt.execute.checkpoints import Limit
from bptt.torch import guard
from bptt.torch.function import run_again
from bptt.torch.guard import Way, are_ordinary
from bptt.torch.key import key_of, leave_whole
from bptt.torch.limits import limit_of, refuse_limit
from bptt.torch.plan import plan_of
from bptt.torch.record import Record
from bptt.torch.run import WHY, run_on, warn_of
from bptt.weights import TORCH_MODES, torch_cell

States: TypeAlias = tuple[Tensor, ...]
STATES = {"LSTM": ("h", "s")}
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
FORWARD: dict[str, Callable[..., Any]] = {
    "RNN_TANH": torch.nn.RNN.forward,
    "RNN_RELU": torch.nn.RNN.forward,
    "LSTM": torch.nn.LSTM.forward,
    "GRU": torch.nn.GRU.forward,
}


# Two functions: torch.compile sees through a cache, and would trace what is below it.
@torch.compiler.assume_constant_result
def layer_key(
    mode: str,
    tensors: tuple[str, ...],
    *,
    has_initial: bool = False,
    has_lengths: bool = False,
    is_backward: bool = False,
    limit: Limit | None = None,
    n_calls: int = 1,
) -> str:
    """The key of the call of one layer and direction, of so many."""
    return _make_key(
        mode, tensors, has_initial, has_lengths, is_backward, limit, n_calls
    )


@functools.cache
def _make_key(
    mode: str,
    tensors: tuple[str, ...],
    has_initial: bool,
    has_lengths: bool,
    is_backward: bool,
    limit: Limit | None,
    n_calls: int,
) -> str:
    states = STATES.get(mode, ("h",))
    names = tuple(name.split("_l")[0] for name in tensors)
    cell = torch_cell(TORCH_MODES[mode], names)
    text = cells.get(cell).text
    return key_of(
        text=text.replace("[t-1]", "[t+1]") if is_backward else text,
        outputs=("h",), finals=states, initial=states if has_initial else (),
        stacking=cell, tensors=names, has_lengths=has_lengths,
        **share_limit(limit, n_calls),
    )  # fmt: skip


def run_network(module: torch.nn.RNNBase, input: Any, hx: Any = None) -> Any:  # noqa: A002
    """What torch.nn's module gives for these arguments."""
    if isinstance(input, torch.fx.Proxy):
        return leave_whole(module, (input, hx), {})
    if not torch.compiler.is_compiling():
        found = _run_only_layer(module, input, hx)
        if found is not None:
            return found
    network = _Network(module)
    batch = network.read(input, hx)
    if batch is None:
        return FORWARD[module.mode](module, input, hx)
    y, finals = network.run(batch)
    y, finals = batch.restore(y, finals)
    return y, finals if module.mode == "LSTM" else finals[0]


def _run_only_layer(module: torch.nn.RNNBase, x: Any, hx: Any) -> Any:
    """The short way of one layer and direction: see `run_again`.

    None for a call that is not like one before, or not as plain.
    """
    all_names, own = module._all_weights, module._parameters  # noqa: SLF001
    is_lstm = module.mode == "LSTM"
    if len(all_names) > 1 or not isinstance(x, Tensor) or x.dim() != 3:
        return None
    states: Any = () if hx is None else hx if is_lstm else (hx,)
    if not isinstance(states, (tuple, list)):
        return None
    names = tuple(all_names[0])
    tensors = [*[own.get(name) for name in names], x, *states]
    if not are_ordinary(tensors):
        return None
    if not all(state.dim() == 3 and state.size(0) == 1 for state in states):
        return None
    if module.batch_first:
        x = x.transpose(0, 1)
    tensors[len(names) :] = [x, *[state[0] for state in states]]
    key = layer_key(
        module.mode, names, has_initial=bool(states), limit=limit_of(module)
    )
    found = run_again(plan_of(key), records_of(module)[0], tensors)
    if found is None:
        return None
    y, *finals = found
    y = y.transpose(0, 1) if module.batch_first else y
    return y, tuple(finals) if is_lstm else finals[0]


def run_apart(module: torch.nn.RNNBase, input: Any, hx: Any = None) -> Any:  # noqa: A002
    """`run_network`, which torch.compile runs as it stands.

    It keeps instances of torch.nn.LSTM out of its graphs, and would then compile the
    functions that they call, one by one: 16 s where torch.nn's layer takes 0.4.
    """
    return run_network(module, input, hx)


def _leave_alone(function: Any) -> None:
    """Let torch.compile skip a function and what it calls; tracing goes through it."""
    frames = torch._C._dynamo.eval_frame  # noqa: SLF001
    skip = frames._FrameAction.SKIP  # noqa: SLF001
    strategy = frames._FrameExecStrategy(skip, skip)  # noqa: SLF001
    frames.set_code_exec_strategy(function.__code__, strategy)


_leave_alone(run_apart)


@dataclass(frozen=True)
class _Batch:
    """A call's sequences, time-major with a batch axis, and how to go back.

    way: how it runs; x: (tau, n_b, n_x); states: (layers, n_b, width) each; packed: the
    input, where it was packed; lengths: its rows' numbers of steps.
    """

    way: Way
    x: Tensor
    states: States
    is_batched: bool = True
    batch_first: bool = False
    packed: PackedSequence | None = None
    lengths: Tensor | None = None

    def restore(self, y: Tensor, finals: States) -> tuple[Any, States]:
        """Results in the form in which the input came."""
        if self.packed is not None and self.lengths is not None:
            _, batch_sizes, order, inverse = self.packed
            rows = pack_padded_sequence(y, self.lengths).data
            if inverse is not None:
                finals = tuple(state.index_select(1, inverse) for state in finals)
            return PackedSequence(rows, batch_sizes, order, inverse), finals
        y = y.transpose(0, 1) if self.batch_first else y
        if self.is_batched:
            return y, finals
        return y.squeeze(0 if self.batch_first else 1), tuple(
            state.squeeze(1) for state in finals
        )


class _Network:
    """One call of a module."""

    def __init__(self, module: torch.nn.RNNBase) -> None:
        self._module = module
        self._n_directions = 2 if module.bidirectional else 1
        if not torch.compiler.is_compiling() and is_parametrized(module):
            # As often as torch.nn computes it: a parametrization may draw numbers.
            module._update_flat_weights()  # noqa: SLF001
            flat = iter(module._flat_weights)  # noqa: SLF001
            self._weights = [
                [next(flat) for _ in names]
                for names in module._all_weights  # noqa: SLF001
            ]
            return
        self._weights = [
            [getattr(module, name, None) for name in names]
            for names in module._all_weights  # noqa: SLF001
        ]

    # ----- what came in -----

    def read(self, input: Any, hx: Any) -> _Batch | None:  # noqa: A002
        """The arguments, or None where torch.nn's own forward is to answer them."""
        states = self._read_states(hx)
        data = input.data if isinstance(input, PackedSequence) else input
        if states is None or not isinstance(data, Tensor):
            return None
        weights = [weight for group in self._weights for weight in group]
        if not all(isinstance(weight, Tensor) for weight in weights):
            return None
        data, states = self._cast(data, states)
        flat = [data, *states, *weights]
        if any(tensor.dtype != data.dtype for tensor in flat):
            return None
        way = guard.choose(flat)
        if way in WHY and data.device.type != "meta":
            refuse_limit(limit_of(self._module), WHY[way])
        if way is Way.TORCH and data.device.type != "meta":
            warn_of(flat, "this layer runs by torch.nn's own operations", 6)
        if way in {Way.TORCH, Way.TRACED, Way.WATCHED}:
            return None
        if isinstance(input, PackedSequence):
            batch = self._unpack(input, data, states, way)
        else:
            batch = self._unroll(data, states, way)
        return batch if batch is not None and self._fits(batch) else None

    def _read_states(self, hx: Any) -> States | None:
        """One tensor, or two in any sequence for an LSTM; None for something else."""
        if hx is None:
            return ()
        states = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        is_pair = isinstance(hx, (tuple, list))
        wanted = len(STATES.get(self._module.mode, ("h",)))
        if is_pair != (wanted == 2) or len(states) != wanted:
            return None
        return states if all(isinstance(state, Tensor) for state in states) else None

    def _cast(self, data: Tensor, states: States) -> tuple[Tensor, States]:
        """Under autocast everything in the parameters' element type."""
        dtype = self._weights[0][0].dtype
        if all(tensor.dtype == dtype for tensor in (data, *states)):
            return data, states
        if not torch.is_autocast_enabled(data.device.type):
            return data, states
        return data.to(dtype), tuple(state.to(dtype) for state in states)

    def _unroll(self, x: Tensor, states: States, way: Way) -> _Batch | None:
        is_batched, batch_first = x.dim() == 3, bool(self._module.batch_first)
        if x.dim() not in {2, 3} or any(state.dim() != x.dim() for state in states):
            return None
        if not is_batched:
            x = x.unsqueeze(0 if batch_first else 1)
            states = tuple(state.unsqueeze(1) for state in states)
        x = x.transpose(0, 1) if batch_first else x
        return _Batch(way, x, states, is_batched, batch_first)

    def _unpack(
        self, packed: PackedSequence, data: Tensor, states: States, way: Way
    ) -> _Batch | None:
        """Rows in the order of the packing, longest first."""
        _, batch_sizes, order, _ = packed
        if data.dim() != 2 or any(state.dim() != 3 for state in states):
            return None
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        if order is not None:
            states = tuple(state.index_select(1, order) for state in states)
        return _Batch(way, x, states, packed=packed, lengths=lengths)

    def _fits(self, batch: _Batch) -> bool:
        """Whether shapes are right and nothing is empty."""
        module, (tau, n_b, n_x) = self._module, batch.x.shape
        if n_x != module.input_size or tau == 0 or n_b == 0:
            return False
        rows = module.num_layers * self._n_directions
        widths = (module.proj_size or module.hidden_size, module.hidden_size)
        # Lists: torch 2.8 compiles no generator.
        expected = [(rows, n_b, width) for width in widths[: len(batch.states)]]
        fits = [tuple(state.shape) for state in batch.states] == expected
        return fits and self._weights_fit()

    def _weights_fit(self) -> bool:
        """Whether weights have the shapes that the module's numbers tell."""
        module, n_directions = self._module, self._n_directions
        n_y = module.proj_size or module.hidden_size
        rows = GATES[module.mode] * module.hidden_size
        for number, group in enumerate(self._weights):
            n_x = module.input_size if number < n_directions else n_directions * n_y
            expected: list[tuple[int, ...]] = [(rows, n_x), (rows, n_y)]
            expected += [(rows,), (rows,)] if module.bias else []
            expected += [(n_y, module.hidden_size)] if module.proj_size else []
            if [tuple(weight.shape) for weight in group] != expected:
                return False
        return len(self._weights) == module.num_layers * n_directions

    # ----- layers and directions -----

    def run(self, batch: _Batch) -> tuple[Tensor, States]:
        """All layers: the last one's sequence, and all last values."""
        module, x = self._module, batch.x
        finals = []
        for layer in range(module.num_layers):
            if layer and module.dropout:
                x = self._drop(x, batch.lengths)
            ys = []
            for direction in range(self._n_directions):
                number = layer * self._n_directions + direction
                y, *last = self._run_direction(x, batch, number)
                ys.append(y)
                finals.append(last)
            x = torch.cat(ys, -1) if len(ys) == 2 else ys[0]
        if len(finals) == 1:
            return x, tuple(part[None] for part in finals[0])
        return x, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _drop(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Dropout; of a packed batch over its useful steps alone, as torch draws it."""
        p, is_training = self._module.dropout, self._module.training
        if lengths is None:
            return torch.nn.functional.dropout(x, p, is_training)
        rows, *rest = pack_padded_sequence(x, lengths)
        rows = torch.nn.functional.dropout(rows, p, is_training)
        return pad_packed_sequence(PackedSequence(rows, *rest))[0]

    def _run_direction(self, x: Tensor, batch: _Batch, number: int) -> Sequence[Tensor]:
        module, lengths = self._module, batch.lengths
        tensors = [*self._weights[number], x]
        tensors += [state[number] for state in batch.states]
        if lengths is not None:
            tensors.append(lengths)
        key = layer_key(
            module.mode,
            tuple(module._all_weights[number]),  # noqa: SLF001
            has_initial=bool(batch.states),
            has_lengths=lengths is not None,
            is_backward=number % self._n_directions == 1,
            limit=limit_of(module),
            n_calls=len(self._weights),
        )
        record = None
        if not torch.compiler.is_compiling():
            record = records_of(module)[number]
        return run_on(batch.way, key, tensors, record)


def records_of(module: torch.nn.RNNBase) -> list[Record]:
    """One record per layer and direction, made at the first call."""
    if "records" not in module.__dict__:
        n = module.num_layers * (2 if module.bidirectional else 1)
        module.__dict__["records"] = [Record() for _ in range(n)]
    found: list[Record] = module.__dict__["records"]
    return found
