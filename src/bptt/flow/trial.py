"""A remedy tried: the same run with one thing changed, before and after.

PARAM=0.5   every element          PARAM=orthogonal, identity, initial, zeros
PARAM*=0.1  a multiple             spectral_radius=0.95   of all recurrent squares
x=normalised   mean 0, deviation 1 over steps and rows;   x*=0.1
forget_bias=1  the biases of all gates that keep a state
weights=all, window=20, clip=1, dtype=float64, lag=50
revive=0.1  the bias of every dead unit of a relu, until that much passes once
gains*=0.5  what multiplies normalised vectors of the states
leak=0.1  every state keeps 0.9 of itself;   normalisation=layer  of what enters it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from bptt import errors
from bptt.flow.case import LAG
from bptt.flow.equations import engines_of, leaky_text, normalised_text
from bptt.flow.facts import Facts
from bptt.flow.findings import Findings
from bptt.flow.maps import cut_at_states
from bptt.flow.promises import Promise, promise_of, shown_measures
from bptt.flow.runs import maps_of
from bptt.flow.setting import FlowSetting
from bptt.flow.text import headline
from bptt.flow.words import say
from bptt.step import initial as initial_values
from bptt.step.graph import Initial
from bptt.step.shapes import Array

ACTION = re.compile(r"\s*(\w+)\s*(\*?=)\s*(\S+)\s*")
COLUMN = 36


F = TypeVar("F", bound=Findings)


@dataclass(frozen=True, eq=False)
class RemedyTrial(Generic[F]):
    """action: what was changed; before, after: the flows of the two runs."""

    action: str
    before: F
    after: F

    @property
    def promise(self) -> Promise | None:
        """What the diagnosis that proposed this promised; None if none did."""
        return promise_of(self.action, self.before, self.after)

    def rows(self, lang: str = "en") -> list[tuple[str, str, str]]:
        """Each measure before and after, that of the promise last."""
        k = max(1, LAG // 2)
        both = [shown_measures(flow, k) for flow in (self.before, self.after)]
        names = {
            "growth": say("text.growth", lang, lag=LAG),
            "rate": say("text.rate", lang), "reach": say("text.reach", lang),
            "share": say("text.share", lang), "worst": say("text.worst", lang, k=k),
        }  # fmt: skip
        found = [(names[key], both[0][key], both[1][key]) for key in names]
        promise = self.promise
        if promise is not None:
            found.append((say(f"measure.{promise.measure}", lang), *promise.shown))
        return found

    def text(self, lang: str = "en") -> str:
        """A table, and both verdicts."""
        head = say("text.columns-trial", lang).split("|")
        lines = [say("text.worked", lang, action=self.action)]
        for name, old, new in (head, *self.rows(lang)):
            lines.append(f"{name:<{COLUMN}}{old:>14}{new:>14}")
        if self.promise is not None:
            kept = "kept" if self.promise.is_kept else "broken"
            lines.append(say(f"text.promise-{kept}", lang))
        for word, flow in zip(head[1:], (self.before, self.after), strict=True):
            lines.append(f"{word}: {headline(flow, lang)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def try_action(
    flow: F, action: str, measure: Callable[[FlowSetting], F]
) -> RemedyTrial[F]:
    """Measure again with an action applied.

    measure: makes a flow of a setting.
    Raises: FlowError for an action that cannot be read, or that this cell lacks.
    """
    setting = flow.setting
    assert setting is not None
    match = ACTION.fullmatch(action)
    if match is None:
        raise errors.FlowError(
            f"try_({action!r}): an action is NAME=VALUE or NAME*=FACTOR, such as "
            "'forget_bias=1' or 'U*=0.1'"
        )
    name, sign, value = match.groups()
    changed = _change(setting, name, sign, value, action)
    return RemedyTrial(action, flow, measure(changed))


def _change(
    setting: FlowSetting, name: str, sign: str, value: str, action: str
) -> FlowSetting:
    if name in setting.params:
        array = _new_parameter(setting, name, sign, value, action)
        return replace(setting, params={**setting.params, name: array})
    if name in setting.inputs:
        changed = _new_input(np.asarray(setting.inputs[name]), sign, value, action)
        return replace(setting, inputs={**setting.inputs, name: changed})
    known = CHANGES.get(name if sign == "=" else f"{name}*")
    if known is None:
        names = (*setting.params, *setting.inputs, *CHANGES)
        raise errors.FlowError(
            f"try_({action!r}): {name} is no parameter, input or option of this run; "
            f"there are: {errors.list_known(name, names)}"
        )
    return known(setting, value, action)


def _number(text: str, action: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise errors.FlowError(
            f"try_({action!r}): {text!r} is neither a number nor a rule; rules are "
            f"{', '.join(('initial', 'normalised', *initial_values.RULES))}"
        ) from None


def _new_parameter(
    setting: FlowSetting, name: str, sign: str, value: str, action: str
) -> Array:
    array = np.asarray(setting.params[name])
    if sign == "*=":
        return np.asarray(array * array.dtype.type(_number(value, action)))
    spec = setting.source.graph.parameters[name]
    if value == "initial":
        rule = spec
    elif value in initial_values.RULES:
        rule = replace(spec, initial=Initial(value))
        if not initial_values.takes(value, 0):
            raise errors.FlowError(f"try_({action!r}): write the number, {name}=0.1")
    else:
        return np.full_like(array, _number(value, action))
    try:
        drawn = initial_values.draw(name, rule, array.shape, setting.seed or 0)
    except errors.InitialValueError as error:
        raise errors.FlowError(f"try_({action!r}): {name}: {error}") from None
    return drawn.astype(array.dtype)


def _new_input(array: Array, sign: str, value: str, action: str) -> Array:
    if array.dtype.kind != "f":
        raise errors.FlowError(f"try_({action!r}): this input holds whole numbers")
    if sign == "*=":
        return np.asarray(array * array.dtype.type(_number(value, action)))
    if value in ("normalised", "normalized"):
        deviation = array.std() or 1.0
        return np.asarray((array - array.mean()) / deviation, array.dtype)
    return np.full_like(array, _number(value, action))


def _forget_bias(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    number = _number(value, action)
    facts = Facts(cut_at_states(setting.engine.graph))
    gates = [gate for gate in facts.gates if gate.bias in setting.params]
    if not gates:
        raise errors.FlowError(
            f"try_({action!r}): no gate of this cell multiplies a state of the step "
            "before, so there is no forget bias; cells with one: lstm, gru"
        )
    params: dict[str, Any] = dict(setting.params)
    for gate in gates:
        signed = number if gate.keeps_at_one else -number
        params[gate.bias] = np.full_like(np.asarray(params[gate.bias]), signed)
    return replace(setting, params=params)


def _radius(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    wanted = _number(value, action)
    facts = Facts(cut_at_states(setting.engine.graph))
    params: dict[str, Any] = dict(setting.params)
    found = False
    for name in facts.recurrent:
        array = np.asarray(params[name])
        if array.ndim == 2 and array.shape[0] == array.shape[1]:
            radius = np.abs(np.linalg.eigvals(array)).max()
            if radius > 0:
                params[name] = (array * (wanted / radius)).astype(array.dtype)
                found = True
    if not found:
        raise errors.FlowError(
            f"try_({action!r}): this cell has no square recurrent matrix with a "
            "spectral radius above 0"
        )
    return replace(setting, params=params)


def _gains(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    names = Facts(cut_at_states(setting.engine.graph)).gains
    if not names:
        raise errors.FlowError(
            f"try_({action!r}): nothing that this cell normalises has a gain"
        )
    for name in names:
        array = _new_parameter(setting, name, "*=", value, action)
        setting = replace(setting, params={**setting.params, name: array})
    return setting


def _revive(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    margin, maps = _number(value, action), maps_of(setting)
    facts, params = Facts(maps.cut), dict(setting.params)
    found = False
    for name in maps.cut.definitions:
        bias = facts.bias_of(name) if facts.function_of(name) == "relu" else ""
        if not bias:
            continue
        rows = maps.argument(name)
        highest = rows.max(axis=0)
        old = np.asarray(params[bias])
        if highest.shape == old.shape and (highest <= 0).any():
            raised = np.where(highest <= 0, old - highest + margin, old)
            params[bias], found = raised.astype(old.dtype), True
    if not found:
        raise errors.FlowError(
            f"try_({action!r}): no unit of a relu with a bias of its own is dead"
        )
    return replace(setting, params=params)


def _leak(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    share = _number(value, action)
    if not 0 < share <= 1:
        raise errors.FlowError(
            f"try_({action!r}): the leak is the share of a state that is replaced at "
            "every step, above 0 and at most 1"
        )
    return _rewritten(setting, leaky_text(setting.source.graph, share), action)


def _normalise(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    if value != "layer":
        raise errors.FlowError(f"try_({action!r}): normalisation=layer is the one kind")
    return _rewritten(setting, normalised_text(setting.source.graph), action)


def _rewritten(setting: FlowSetting, text: str, action: str) -> FlowSetting:
    """With other equations, of the same parameters and inputs."""
    if not text:
        raise errors.FlowError(
            f"try_({action!r}): the equations of this cell's states are not of a form "
            "that this can be written into; write it into the cell's text"
        )
    source, engine = engines_of(text)
    return replace(setting, source=source, engine=engine)


def _dtype(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    if value not in ("float32", "float64"):
        raise errors.FlowError(f"try_({action!r}): dtype is float32 or float64")
    params = {n: np.asarray(a).astype(value) for n, a in setting.params.items()}
    return replace(setting, params=params)


def _weights(setting: FlowSetting, value: str, action: str) -> FlowSetting:
    if value != "all":
        raise errors.FlowError(f"try_({action!r}): weights=all lets every step count")
    if setting.source.graph.ends_in_loss:
        raise errors.FlowError(
            f"try_({action!r}): the equations have a loss of the last step alone; "
            "write it as L[t]"
        )
    reduction = "sum" if setting.reduction == "last" else setting.reduction
    return replace(setting, weights=None, reduction=reduction)


def _steps(name: str) -> Callable[[FlowSetting, str, str], FlowSetting]:
    def change(setting: FlowSetting, value: str, action: str) -> FlowSetting:
        number = _number(value, action)
        if name == "clip":
            return replace(setting, clip=number)
        if not number.is_integer():
            raise errors.FlowError(f"try_({action!r}): {name} is a number of steps")
        steps = int(number)
        if name == "window":
            return replace(setting, window=steps)
        return replace(setting, lag=steps)

    return change


CHANGES: Mapping[str, Callable[[FlowSetting, str, str], FlowSetting]] = {
    "forget_bias": _forget_bias,
    "spectral_radius": _radius,
    "gains*": _gains,
    "dtype": _dtype,
    "revive": _revive,
    "leak": _leak,
    "normalisation": _normalise,
    "weights": _weights,
    "window": _steps("window"),
    "clip": _steps("clip"),
    "lag": _steps("lag"),
}
