"""Any cell as a torch module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bptt import errors
from bptt.cell import Cell
from bptt.results import Copies
from bptt.torch.job import key_of
from bptt.torch.record import Record
from bptt.torch.run import run


class Output(NamedTuple):
    """What a `Recurrent` returns.

    nodes: sequences by name, (tau, n_b, *shape); final: every state after the last
    step, (n_b, *shape); loss: the total loss, or None for a cell without one.
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
    default drawn from torch's generator, so that `torch.manual_seed` decides. sizes:
    one whole number per named dimension of the parameters.
    Raises: UnknownNodeError, MissingSizeError, SizeError, DtypeError.
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
        **sizes: int,
    ) -> None:
        super().__init__()
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
        self.index_inputs = tuple(
            name for name, spec in cell.graph.inputs.items() if spec.index is not None
        )
        self.states = tuple(s for s in cell.states if s in cell.nodes)
        self.has_loss = cell.graph.loss is not None
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
        losses, (tau,) or (tau, n_b), constants; lengths: the number of steps of every
        row, (n_b,), after which its nodes are zero. Real inputs become the parameters'
        element type; autocast changes nothing here.
        Raises: a subclass of `errors.ArgumentError` for every tensor that does not fit.
        """
        given = self._name(args, inputs)
        initial = initial or {}
        params = [getattr(self, name) for name in self.parameter_names]
        tensors = [*params, *given, *(self._cast(n, t) for n, t in initial.items())]
        if weights is not None:
            tensors.append(weights.detach())
        if lengths is not None:
            tensors.append(lengths)
        key = key_of(
            text=self.text, outputs=self.outputs, finals=self.states,
            initial=tuple(initial),
            reduction=self.reduction, has_weights=weights is not None,
            has_lengths=lengths is not None,
        )  # fmt: skip
        out = run(key, tensors, self._record)
        n_seq, n_out = len(self.outputs), len(self.outputs) + len(self.states)
        return Output(
            dict(zip(self.outputs, out[:n_seq], strict=True)),
            dict(zip(self.states, out[n_seq:n_out], strict=True)),
            out[-1] if self.has_loss else None,
        )

    def _name(
        self, args: tuple[Tensor, ...], inputs: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """The inputs in the cell's order, in the parameters' element type."""
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

    def _cast(self, name: str, tensor: Tensor) -> Tensor:
        """A real tensor in the parameters' element type."""
        if name in self.index_inputs or not self.parameter_names:
            return tensor
        return tensor.to(getattr(self, self.parameter_names[0]).dtype)

    # ----- looking inside -----

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


def _default(cell: Cell) -> tuple[str, ...]:
    """The states, and the vector defined last."""
    states = [name for name in cell.states if name in cell.nodes]
    vectors = cell.graph.vectors()
    return tuple(dict.fromkeys((*states, *vectors[-1:])))
