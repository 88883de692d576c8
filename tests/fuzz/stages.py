"""The ways a case goes through bptt: two executors, front ends, check, explain."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

import bptt
from tests.fuzz.case import Case
from tests.fuzz.oracle import Answer
from tests.fuzz.trial import (
    Comparer,
    Fault,
    Outcome,
    Stage,
    call_arguments,
)


def _gradient(executor: str, stage: str) -> Stage:
    """`Cell.gradient` with everything the case asks for, then `Cell.forward`."""

    def run(cell: bptt.Cell, case: Case, known: Answer, out: Outcome) -> None:
        params, inputs, options = call_arguments(case)
        options |= {"executor": executor, "threads": case.threads}
        axis = slice(None) if case.n_b else 0
        seeds = {n: a[:, axis].astype(case.dtype)
                 for n, a in case.seed_arrays().items()}  # fmt: skip
        grad = cell.gradient(
            params, inputs, nodes=sorted(case.nodes),
            seeds=seeds, input_gradient=case.wants_inputs,
            initial_gradient=case.wants_initial, **options,
        )  # fmt: skip
        compare = Comparer(stage, case, known, out)
        if case.has_loss:
            compare.same("loss", "L", grad.loss, known.loss)
        compare.each("parameter", grad, known.params)
        compare.each("node", grad.nodes, known.nodes, sorted(case.nodes))
        if case.wants_inputs:
            compare.each("input", grad.inputs, known.inputs)
        if case.wants_initial:
            compare.each("initial", grad.initial, known.initial)
        for name in known.copies:
            compare.same("copies", name, grad.copies[name].stack(), known.copies[name])
        compare.each("final", grad.final, known.final)
        again = cell.forward(params, inputs, **options)
        if case.has_loss:
            compare.same("loss", "L", again.loss, known.loss)
        compare.each("value", again, known.values, plain_values(case, known))
        compare.each("final", again.final, known.final)

    return run


def _stretches(cell: bptt.Cell, case: Case, known: Answer, out: Outcome) -> None:
    """With some states kept: the bits of the gradient that keeps every step.

    One long window of truncation is the exact gradient, up to rounding.
    """
    params, inputs, options = call_arguments(case)
    axis = slice(None) if case.n_b else 0
    asked = options | {
        "threads": case.threads,
        "nodes": sorted(case.nodes),
        "seeds": {n: a[:, axis].astype(case.dtype)
                  for n, a in case.seed_arrays().items()},
        "input_gradient": case.wants_inputs,
        "initial_gradient": case.wants_initial,
    }  # fmt: skip
    try:
        found = cell.gradient(params, inputs, **asked, checkpoint=1 + case.values % 4)
    except bptt.errors.CheckpointError:
        return  # no kernels for this cell
    whole = cell.gradient(params, inputs, **asked)
    for part in ("nodes", "inputs", "initial", "final"):
        ours, theirs = getattr(found, part), getattr(whole, part)
        for name in theirs:
            if not np.array_equal(ours[name], theirs[name], equal_nan=True):
                out.faults.append(Fault("stretches", f"{part} {name} differ"))
    for name in whole:
        if not np.array_equal(found[name], whole[name], equal_nan=True):
            out.faults.append(Fault("stretches", f"the gradient of {name} differs"))
    try:
        window = cell.gradient(params, inputs, **asked, truncate=(case.tau, case.tau))
    except bptt.errors.TruncationError:
        return  # reads later steps
    Comparer("truncated", case, known, out).each("parameter", window, known.params)


def _check(cell: bptt.Cell, case: Case, known: Answer, out: Outcome) -> None:
    """`check` passes every right cell."""
    ledger = cell.check(seed=case.values % 1000, instances=1)
    if not ledger.passed:
        rows = "\n".join(map(str, ledger.failures[:4]))
        kinds = ", ".join(sorted({row.how for row in ledger.failures}))
        out.faults.append(Fault("check", f"fails: {kinds}", rows))
    assert str(ledger)


def _explain(cell: bptt.Cell, case: Case, known: Answer, out: Outcome) -> None:
    """`explain` writes a derivation whose every number agrees."""
    explanation = cell.explain(tau=3, lang="zh" if case.values % 2 else "en")
    if not explanation.passed:
        out.faults.append(Fault("explain", "does not pass", explanation.summary))
    assert explanation.text()
    assert explanation.markdown()


def _text(cell: bptt.Cell, case: Case, known: Answer, out: Outcome) -> None:
    """The printed cell reads back to the same cell."""
    again = bptt.Cell(cell.canonical_text)
    if again.canonical_text != cell.canonical_text:
        detail = f"{cell.canonical_text}\n{again.canonical_text}"
        out.faults.append(Fault("text", "printing does not settle", detail))
    params, inputs, options = call_arguments(case)
    first = cell.forward(params, inputs, executor="reference", **options)
    second = again.forward(params, inputs, executor="reference", **options)
    for name in case.defined:
        if not np.array_equal(first[name], second[name], equal_nan=True):
            out.faults.append(Fault("text", "the printed cell differs", name))


def _torch(cell: bptt.Cell, case: Case, known: Answer, out: Outcome) -> None:
    """`bptt.torch.Recurrent`: loss and the gradient of everything."""
    import torch

    import bptt.torch

    params, inputs, options = call_arguments(case)
    sizes = named_sizes(cell, params)
    layer = bptt.torch.Recurrent(
        cell, outputs=case.defined, reduction=case.reduction, seed=0,
        dtype=getattr(torch, case.dtype), **sizes,
    )  # fmt: skip

    def leaf(array: np.ndarray) -> torch.Tensor:
        found = torch.from_numpy(np.array(array))
        return found.requires_grad_() if found.is_floating_point() else found

    with torch.no_grad():
        for name, array in params.items():
            getattr(layer, name).copy_(torch.from_numpy(np.array(array)))
    given = {name: leaf(array) for name, array in inputs.items()}
    start = {name: leaf(array) for name, array in options["initial"].items()}
    lengths, weights = options["lengths"], options["weights"]
    result = layer(
        **given, initial=start,
        weights=None if weights is None else torch.from_numpy(weights),
        lengths=None if lengths is None else torch.from_numpy(lengths),
    )  # fmt: skip
    total = 0.0 if result.loss is None else result.loss
    for name, seed in case.seed_arrays().items():
        there = torch.from_numpy(seed.astype(case.dtype))
        there = there if case.n_b else there[:, 0]
        total = total + (there * result.nodes[name]).sum()
    if not total.requires_grad:
        return
    total.backward()
    compare = Comparer("torch", case, known, out)
    if case.has_loss:
        compare.same("loss", "L", result.loss.detach(), known.loss)
    for name, expected in known.params.items():
        compare.same("parameter", name, _grad_of(getattr(layer, name)), expected)
    for name, expected in known.inputs.items():
        compare.same("input", name, _grad_of(given[name]), expected)
    for name, leaf_ in start.items():
        if name in known.initial:
            compare.same("initial", name, _grad_of(leaf_), known.initial[name])
    for name in case.defined:
        if name not in plain_values(case, known):
            continue
        found = result.nodes[name].detach()
        compare.same("value", name, found, known.values[name])


def plain_values(case: Case, known: Answer) -> list[str]:
    """The values that mean what their equation says: a loss at tau has L added."""
    return [name for name in known.values if name != "L" or "L" not in case.lasts]


def _grad_of(tensor) -> np.ndarray:
    grad = tensor.grad
    return np.zeros(tuple(tensor.shape)) if grad is None else grad.numpy()


def named_sizes(cell: bptt.Cell, params: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The size of every dimension of the parameters, by the name the cell gives it.

    A sum `n_p+n_q` is told by its parts; those that no parameter has alone share what
    is left of it.
    """
    found = {
        dim: size
        for name, shape in cell.parameters.items()
        for dim, size in zip(shape, params[name].shape, strict=True)
        if isinstance(dim, str)
    }
    sums = {dim: size for dim, size in found.items() if "+" in dim}
    single = {dim: size for dim, size in found.items() if "+" not in dim}
    while sums:  # what one sum tells may leave another a single unknown part
        unknown = {dim: _unknown_parts(dim, single) for dim in sums}
        dim = min(sums, key=lambda dim: len(unknown[dim]))
        parts, size = dim.split("+"), sums.pop(dim)
        single |= dict.fromkeys(unknown[dim][1:], 1)
        rest = sum(int(p) if p.isdigit() else single.get(p, 0) for p in parts)
        for part in unknown[dim][:1]:
            single[part] = (size - rest) // parts.count(part)
    return single


def _unknown_parts(dim: str, known: Collection[str]) -> list[str]:
    parts = dict.fromkeys(dim.split("+"))
    return [part for part in parts if not part.isdigit() and part not in known]


def _jax(cell: bptt.Cell, case: Case, known: Answer, out: Outcome) -> None:
    """`bptt.jax.recurrent` under `jit` and `grad`."""
    import jax
    import jax.numpy as jnp

    from bptt.jax import recurrent

    params, inputs, options = call_arguments(case)
    f = recurrent(cell, nodes=case.defined, reduction=case.reduction)
    seeds = {name: seed if case.n_b else seed[:, 0]
             for name, seed in case.seed_arrays().items()}  # fmt: skip
    real = {n: a for n, a in inputs.items() if a.dtype.kind == "f"}
    rest = {n: a for n, a in inputs.items() if n not in real}
    real_start = {n: a for n, a in options["initial"].items() if a.dtype.kind == "f"}
    rest_start = {n: a for n, a in options["initial"].items() if n not in real_start}

    def total(params, real, start):
        result = f(params, {**real, **rest}, {**start, **rest_start},
                   options["weights"], options["lengths"])  # fmt: skip
        value = jnp.zeros((), case.dtype) if result.loss is None else result.loss
        for name, seed in seeds.items():
            value = value + (seed.astype(case.dtype) * result.nodes[name]).sum()
        return value

    with jax.enable_x64(case.dtype == "float64"):
        run = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
        grads = run(params, real, real_start)
    compare = Comparer("jax", case, known, out)
    for what, found, expected in zip(
        ("parameter", "input", "initial"), grads,
        (known.params, known.inputs, known.initial), strict=True,
    ):  # fmt: skip
        compare.each(what, found, expected, sorted(found))


KERNELS = {"kernels": _gradient("llvm", "kernels")}
CORE: Mapping[str, Stage] = {
    "NumPy": _gradient("reference", "NumPy"),
    **KERNELS,
    "stretches": _stretches,
    "text": _text,
}
SLOW: Mapping[str, Stage] = {
    "check": _check, "explain": _explain, "torch": _torch, "jax": _jax,
}  # fmt: skip


def stages_for(case: Case, share: int = 4) -> dict[str, Stage]:
    """The core, and each slow stage for one case in `share`."""
    slow = {
        name: stage
        for number, (name, stage) in enumerate(SLOW.items())
        if (case.values // (number + 1)) % share == 0
    }
    return {**CORE, **slow}
