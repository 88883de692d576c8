"""Any cell as a torch module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bptt import errors
from bptt.call import share_limit
from bptt.cell import Cell
from bptt.execute.checks import refuse_unknown
from bptt.execute.rows import join_delays, split_delays, starts_of
from bptt.execute.tokens import counted_by
from bptt.execute.weighting import check_reduction
from bptt.results import Copies
from bptt.torch.guard import NoTensorError, refuse_others
from bptt.torch.key import key_of, leave_whole
from bptt.torch.limits import limit_of, set_limit
from bptt.torch.record import Record
from bptt.torch.reduction import step_weights
from bptt.torch.run import run


class Output(NamedTuple):
    """What a `Recurrent` returns.

    nodes: sequences by name, (tau, n_b, *shape); final: every state after the last
    step, (n_b, *shape), what `initial` takes to go on, tokens in int64; loss: the
    total loss, or None for a cell without one.
    """

    nodes: dict[str, Tensor]
    final: dict[str, Tensor]
    loss: Tensor | None


class Recurrent(torch.nn.Module):
    """A recurrent cell as a module; its parameters have the equations' names.

    >>> import bptt, torch
    >>> import bptt.torch
    >>> layer = bptt.torch.Recurrent(bptt.cells.book, n_x=3, n_h=4, n_o=5)
    >>> [name for name, _ in layer.named_parameters()]
    ['b', 'W', 'U', 'c', 'V']
    >>> x, y = torch.zeros(6, 2, 3), torch.zeros(6, 2, dtype=torch.int64)
    >>> out = layer(x, y)
    >>> out.loss.backward()
    >>> layer.W.grad.shape, layer.node_gradients("h").shape
    (torch.Size([4, 4]), torch.Size([6, 2, 4]))

    outputs: nodes whose sequences are returned; by default the states, and the vector
    defined last. reduction: see `Cell.forward`. seed: of the initial parameters; by
    default drawn from torch's generator, so that `torch.manual_seed` decides. memory,
    checkpoint, truncate: what may be held of the steps, see `Cell.gradient`. sizes:
    one whole number per named dimension of the parameters.
    Raises: UnknownNodeError, MissingSizeError, SizeError, DtypeError,
    ReductionError, MemoryBudgetError, CheckpointError, TruncationError.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        outputs: Iterable[str] | None = None,
        reduction: str = "sum",
        seed: int | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
        memory: int | str | None = None,
        checkpoint: int | str | None = None,
        truncate: tuple[int, int] | None = None,
        **sizes: int,
    ) -> None:
        super().__init__()
        check_reduction(reduction)
        set_limit(self, memory, checkpoint, truncate)
        dtype = dtype or torch.get_default_dtype()
        if seed is None:
            seed = int(torch.randint(2**31, ()))
        element = str(dtype).removeprefix("torch.")
        params = cell.init(seed=seed, dtype=element, **sizes)
        for name, array in params.items():
            values = torch.from_numpy(array).to(device)
            self.register_parameter(name, torch.nn.Parameter(values))
        self.text, self.reduction = cell.text, reduction
        self.parameter_names = tuple(params)
        self.inputs = tuple(cell.inputs)
        names = dict.fromkeys((*cell.graph.inputs, *cell.graph.states))
        self.tokens = tuple(n for n in names if counted_by(cell.graph, n) is not None)
        self.states = tuple(s for s in cell.graph.handed_on if s in cell.nodes)
        self.loss = cell.graph.loss
        # What a compiled graph asks of the cell, as plain values.
        times = cell.graph.times
        self.ranks = tuple(len(spec.shape) for spec in cell.graph.inputs.values())
        self.row_inputs = tuple(sorted(times.row_inputs))
        self.last_nodes = tuple(sorted(times.once))
        self.starts = starts_of(cell.graph)
        self.ahead = tuple(sorted(cell.graph.backward))
        self.late_inputs = tuple(s for s in cell.graph.handed_on if s in cell.inputs)
        self.ends_in_loss = cell.graph.ends_in_loss
        outputs = _default(cell) if outputs is None else outputs
        self.outputs = cell.known_nodes(outputs)
        self._record = Record()

    def forward(
        self,
        *args: Tensor,
        initial: Mapping[str, Tensor] | None = None,
        weights: Tensor | None = None,
        lengths: Tensor | None = None,
        **inputs: Tensor,
    ) -> Output:
        """Run over whole sequences.

        args, inputs: the cell's inputs, in its order or by name, (tau, n_b, *shape) or
        (tau, *shape); initial: state -> (n_b, *shape); weights: w_t of the steps'
        losses, (tau,) or (tau, n_b); lengths: the number of steps of every
        row, (n_b,), after which its nodes are zero. Real inputs become the parameters'
        element type; autocast changes nothing here.
        Raises: a subclass of `errors.ArgumentError` for every tensor that does not fit.
        """
        if any(isinstance(x, torch.fx.Proxy) for x in (*args, *inputs.values())):
            more = {"initial": initial, "weights": weights, "lengths": lengths}
            return leave_whole(self, args, inputs | more)
        params = self._read_parameters()
        _refuse(dict(zip(self.inputs, args, strict=False)) | inputs, initial)
        _refuse({"weights": weights, "lengths": lengths}, None)
        given = self._name(args, inputs)
        is_batched = self._is_batched(given)
        given = self._spread(given, is_batched)
        initial = split_delays(self.starts, initial or {}, is_batched=is_batched)
        tensors = [*params, *given, *(self._cast(n, t) for n, t in initial.items())]
        asked, weighed = self.outputs, None
        if self.loss is not None and weights is not None and _asks(weights):
            # ∂L/∂w_t = L^(t): the steps' losses come out, and torch weighs them.
            asked = tuple(dict.fromkeys((*self.outputs, self.loss)))
            weighed, weights = weights, None
        if weights is not None:
            tensors.append(self._cast("", weights))
        if lengths is not None:
            tensors.append(lengths)
        key = key_of(
            text=self.text, outputs=asked, finals=self.states,
            initial=tuple(initial), reduction=self.reduction,
            has_weights=weights is not None,
            has_lengths=lengths is not None, **share_limit(limit_of(self)),
        )  # fmt: skip
        out = run(key, tensors, self._record)
        n_out = len(asked) + len(self.states)
        nodes = dict(zip(asked, out[: len(asked)], strict=True))
        total = out[-1] if self.loss is not None else None
        if self.loss is not None and weighed is not None:
            total = self._weigh(nodes[self.loss], weighed, lengths, is_batched)
        for name in self.last_nodes:
            if name in nodes:
                nodes[name] = _last(nodes[name], lengths, is_batched)
        finals = dict(zip(self.states, out[len(asked) : n_out], strict=True))
        finals |= self._late_inputs(given, lengths, is_batched)
        finals = {name: self._whole(name, last) for name, last in finals.items()}
        finals = join_delays(self.starts, finals, torch.stack)
        return Output({name: nodes[name] for name in self.outputs}, finals, total)

    def _read_parameters(self) -> list[Tensor]:
        """Raises: NoTensorError, DtypeError, LayoutError."""
        for name in self.parameter_names:
            refuse_others(f"parameter {name}", getattr(self, name, None))
        return [getattr(self, name) for name in self.parameter_names]

    def _late_inputs(
        self, given: list[Tensor], lengths: Tensor | None, is_batched: bool
    ) -> dict[str, Tensor]:
        """The last steps of inputs that are read at another step."""
        found = {}
        for name in self.late_inputs:
            rows = given[self.inputs.index(name)]
            found[name] = (
                rows[0] if name in self.ahead else _last(rows, lengths, is_batched)
            )
        return found

    def _whole(self, name: str, last: Tensor) -> Tensor:
        """Last values as they go out: those of tokens as integers."""
        return last.to(torch.int64) if name in self.tokens else last

    def _weigh(
        self, losses: Tensor, given: Tensor, lengths: Tensor | None, is_batched: bool
    ) -> Tensor:
        """The total loss, with a gradient for the weights."""
        losses = losses if is_batched else losses[:, None]
        w = step_weights(
            self.reduction, given, lengths, losses, is_batched=is_batched,
            ends_in_loss=self.ends_in_loss,
        )  # fmt: skip
        return (w * losses).sum()

    def _name(
        self, args: tuple[Tensor, ...], inputs: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """The inputs in the cell's order, in the parameters' element type."""
        refuse_unknown(inputs, tuple(self.inputs), "input")
        given = dict(zip(self.inputs, args, strict=False))
        given.update(inputs)
        if len(args) > len(self.inputs) or len(given) != len(args) + len(inputs):
            raise errors.UnexpectedNameError(
                f"{len(args)} inputs by position and {', '.join(inputs) or 'none'} by "
                f"name do not fit the cell's inputs: {', '.join(self.inputs)}"
            )
        for name in self.inputs:
            if name not in given:
                raise errors.MissingInputError(
                    f"input {name} is missing; the cell's inputs are: "
                    f"{', '.join(self.inputs)}"
                )
        return [self._cast(name, given[name]) for name in self.inputs]

    def _is_batched(self, given: list[Tensor]) -> bool:
        """Whether the sequences have a batch axis."""
        for name, rank, tensor in zip(self.inputs, self.ranks, given, strict=True):
            if name not in self.row_inputs:
                return tensor.ndim - rank == 2
        return False

    def _spread(self, given: list[Tensor], is_batched: bool) -> list[Tensor]:
        """Inputs of one value per row as sequences, the same at every step."""
        if not self.row_inputs:
            return given
        named = list(zip(self.inputs, self.ranks, given, strict=True))
        taus = [x.shape[0] for name, _, x in named if name not in self.row_inputs]
        return [
            x.expand(taus[0] if taus else 1, *x.shape)
            if name in self.row_inputs and x.ndim == rank + is_batched
            else x
            for name, rank, x in named
        ]

    def _cast(self, name: str, tensor: Tensor) -> Tensor:
        """A real tensor in the parameters' element type."""
        if name in self.tokens or not self.parameter_names:
            return tensor
        return tensor.to(getattr(self, self.parameter_names[0]).dtype)

    # ----- looking inside -----

    @property
    def record(self) -> Record:
        """What the last backward pass went through."""
        return self._record

    def node_gradients(self, name: str) -> Tensor:
        """∇_{h^(t)} L for every t, of any node, after `backward()`: (tau, n_b, *shape).

        Computed when asked for, from the tensors of the last backward pass.
        Raises: NoRecordError, UnknownNodeError.
        """
        return self._record.node_gradients(name)

    def copies(self, name: str) -> Copies:
        """∇_{W^(t)} L for every t, of a parameter, after `backward()`; see `Copies`.

        Raises: NoRecordError, UnknownNodeError.
        """
        return self._record.copies(name)

    def extra_repr(self) -> str:
        """The equations."""
        return self.text.strip()


def _refuse(given: Mapping[str, Any], initial: Any) -> None:
    """Raises: NoTensorError, DtypeError, LayoutError."""
    for name, tensor in given.items():
        if tensor is not None:
            refuse_others(name, tensor)
    if initial is None:
        return
    if not isinstance(initial, Mapping):
        raise NoTensorError(
            f"initial is a {type(initial).__name__}, and a layer takes the values by "
            'name: use initial={"h": h0}'
        )
    for name, tensor in initial.items():
        refuse_others(f"initial state {name}", tensor)


def _asks(weights: Tensor) -> bool:
    return torch.is_grad_enabled() and weights.requires_grad


def _last(rows: Tensor, lengths: Tensor | None, is_batched: bool) -> Tensor:
    """A sequence at each row's own last step."""
    if lengths is None:
        return rows[-1]
    lengths = lengths.to(rows.device, torch.int64)  # uint8 would be taken for a mask
    if not is_batched:
        return rows[lengths.reshape(()) - 1]
    return rows[lengths - 1, torch.arange(rows.shape[1])]


def _default(cell: Cell) -> tuple[str, ...]:
    """The states, and the vector defined last."""
    hidden = cell.graph.times.hidden
    states = [n for n in cell.states if n in cell.nodes and n not in hidden]
    vectors = cell.graph.vectors()
    return tuple(dict.fromkeys((*states, *vectors[-1:])))
