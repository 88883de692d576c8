"""A gradient that is computed again and again, of arrays that stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bptt.calculus.program import Request
from bptt.execute.bindings import Bindings
from bptt.execute.protocol import Call
from bptt.results import Gradient, Run

Given = tuple[Any, Any, Any, Any]  # parameters, inputs, initial, seeds


class Prepared:
    """`run = cell.prepare(params, inputs)`; then every `run()` is a gradient.

    Called without arguments it takes the arrays of the call before, as they are now:
    nothing is checked but classes and tokens, and NaN passes through. Called with
    arrays, of whatever shapes the cell takes, it checks their shapes and types. The
    result is one object, and its arrays are overwritten by the next call; copy what is
    to stay. Not for two threads at once.
    """

    _bindings: Bindings
    _gradient: Gradient
    _again: Callable[[Bindings | None], None] | None

    def __init__(
        self,
        bind: Callable[[Given, bool], tuple[Bindings, bool]],
        fits: Callable[[Bindings], bool],
        begin: Callable[[Bindings], Call],
        forward: Callable[[Bindings], Run],
        request: Request,
        given: Given,
    ) -> None:
        """Run once, with every check.

        bind: arrays to one form, looking for NaN or not, and whether all of them are
        the caller's own memory; fits: whether integers are in their ranges; begin: a
        run whose second phase is to come.
        """
        self._bind, self._fits = bind, fits
        self._begin, self._forward = begin, forward
        self._request, self._given = request, given
        self._start(*bind(given, True))

    def __call__(
        self,
        params: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        *,
        initial: Mapping[str, Any] | None = None,
        seeds: Mapping[str, Any] | None = None,
    ) -> Gradient:
        """The gradient; what is not given stays as in the call before.

        Raises: the errors of `Engine.gradient`, but for NaN.
        """
        is_same = params is inputs is initial is seeds is None
        if is_same and self._again is not None and self._fits(self._bindings):
            self._again(None)
            self._gradient.renew(self._bindings)
            return self._gradient
        asked = (params, inputs, initial, seeds)
        pairs = zip(asked, self._given, strict=True)
        given: Any = tuple(old if new is None else new for new, old in pairs)
        bindings, is_own = self._bind(given, False)
        self._given = given
        if self._again is None or not (is_own and _is_alike(bindings, self._bindings)):
            self._start(bindings, is_own)
            return self._gradient
        self._bindings = bindings
        self._again(bindings)
        self._gradient.renew(bindings)
        return self._gradient

    def _start(self, bindings: Bindings, is_own: bool) -> None:
        call = self._begin(bindings)
        call.finish()
        self._bindings = bindings
        # Not every run can be repeated in its memory: a ragged one, or NumPy's.
        self._again = getattr(call, "again", None) if is_own else None
        self._gradient = Gradient(
            call.program, bindings, call.values, self._request,
            lambda: self._forward(self._bindings),
        )  # fmt: skip


def _is_alike(new: Bindings, old: Bindings) -> bool:
    """Whether a run of one serves the other."""
    return (
        (new.tau, new.n_b, new.is_batched) == (old.tau, old.n_b, old.is_batched)
        and (new.dtype, new.sizes) == (old.dtype, old.sizes)
        and new.initial.keys() == old.initial.keys()
        and new.seeds.keys() == old.seeds.keys()
    )
