"""Which states are kept when not all steps are, and in which order steps run again.

A sequence of tau steps is cut into stretches. Of all but one stretch at a time nothing
is held but the state before its first step, and that only where a slot is free for it;
the gradient takes the stretches from the last to the first, and runs the loop forward
again, from the nearest state that is kept, as far as it must.

With s slots beside the initial state, and stretches of l steps, no order runs fewer
steps forward than

    tau + sum over r >= 1 of max(0, tau - l C(s + r, s + 1)),

because at most l C(s + r, s + 1) steps can be run r times or less (Griewank and
Walther, 2000, Algorithm 799, for l = 1; Gruslys et al., 2016, weigh states against all
that a step stores). `plan` takes the best s and l that fit into a number of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import comb, isqrt

from bptt import errors

LEAST = 2  # steps of a stretch: products of one row alone would sum in another order
WAYS = ("sqrt", "optimal")
UNITS = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """What a caller asked for: bytes, how many states to keep, or windows (k1, k2)."""

    memory: int | None = None
    checkpoint: int | str | None = None
    truncate: tuple[int, int] | None = None


@dataclass(frozen=True)
class Demand:
    """Bytes that a call needs: whatever it keeps, per kept state, and per step.

    is_binary: whether two sweeps are enough, one each way: states can be dropped and
    found again.
    """

    fixed: int
    state: int
    step: int
    is_binary: bool = True


@dataclass(frozen=True)
class CheckpointPlan:
    """How a sequence is run with some of its states kept; `print` it.

    tau: its steps; stretch: the steps that are run together, the first stretch may be
    shorter; slots: states kept at once beside the initial one; predicted: bytes;
    measured: bytes of all arrays that a call held, 0 before it ran.
    """

    tau: int
    stretch: int
    slots: int
    predicted: int
    measured: int = 0

    @property
    def cuts(self) -> tuple[int, ...]:
        """Where stretches begin and end: 0, ..., tau."""
        count = -(-self.tau // self.stretch)
        cuts = [max(0, self.tau - k * self.stretch) for k in range(count, -1, -1)]
        if len(cuts) > 2 and cuts[1] < LEAST:  # one step alone: joins its neighbour
            cuts[1:2] = [LEAST] if self.stretch > LEAST else []
        return tuple(cuts)

    @property
    def forward_steps(self) -> int:
        """Steps that the loop is run forward, those of the first sweep included."""
        return count_forward_steps(self.tau, self.slots, self.stretch)

    def with_measured(self, n_bytes: int) -> CheckpointPlan:
        """The same after a call."""
        return replace(self, measured=n_bytes)

    def __str__(self) -> str:
        measured = f", measured {self.measured:,}" if self.measured else ""
        again = self.forward_steps / self.tau
        return (
            f"{len(self.cuts) - 1} stretches of {self.stretch} steps, {self.slots} "
            f"states kept: every step runs forward {again:.2f} times; bytes held: "
            f"{self.predicted:,} predicted{measured}"
        )


def count_forward_steps(tau: int, slots: int, stretch: int) -> int:
    """The least number of steps run forward, see above."""
    total, r = tau, 1
    while (reach := stretch * comb(slots + r, slots + 1)) < tau:
        total += tau - reach
        r += 1
    return total


def split(count: int, slots: int) -> int:
    """After how many of `count` > 1 stretches the first state is kept.

    Of the best places the last: the first stretch, which may be the shortest, is then
    one that is run most often.
    """
    if slots == 0:
        return count - 1
    r = 1
    while comb(slots + r, slots + 1) < count:
        r += 1
    left = comb(slots + r - 1, slots + 1)  # run r - 1 times once the state is there
    right = comb(slots - 1 + r - 1, slots)  # at least as much is left to the other side
    return max(1, min(left, count - right))


@dataclass(frozen=True)
class Action:
    """One thing to do.

    kind: "start" from the state kept before stretch `begin`; "advance" over the
    stretches begin..end; "keep" the state before stretch `begin`; "visit" the stretch
    `begin`: run it forward and backward; "drop" the state kept before stretch `begin`.
    """

    kind: str
    begin: int
    end: int = 0


def walk(count: int, slots: int) -> Iterator[Action]:
    """What to do, in order, to visit `count` stretches from the last to the first."""
    # (first, last, free slots, whether the running state is the one before `first`)
    stack = [(0, count, slots, True, False)]
    while stack:
        begin, end, free, is_there, is_kept = stack.pop()
        if not is_there:
            yield Action("start", begin)
        if end - begin > 1:
            middle = begin + split(end - begin, free)
            yield Action("advance", begin, middle)
            stack.append((begin, middle, free, False, is_kept))
            if free:
                yield Action("keep", middle)
                stack.append((middle, end, free - 1, True, True))
            else:
                stack.append((middle, end, 0, True, False))
            continue
        yield Action("visit", begin)
        if is_kept:
            yield Action("drop", begin)


def read_limit(
    memory: object, checkpoint: object, truncate: object = None
) -> Limit | None:
    """What a caller gave as `memory=`, `checkpoint=`, `truncate=`; None for none.

    Raises: MemoryBudgetError, CheckpointError, TruncationError.
    """
    if truncate is not None:
        if memory is not None or checkpoint is not None:
            raise errors.TruncationError(
                f"truncate={truncate!r} holds one window at a time, of k2 steps: leave "
                "out memory= and checkpoint="
            )
        return Limit(truncate=_read_windows(truncate))
    if memory is None and checkpoint is None:
        return None
    if memory is not None and checkpoint not in (None, "optimal"):
        raise errors.CheckpointError(
            f"memory={memory!r} and checkpoint={checkpoint!r} are given: memory alone "
            "takes the best schedule that fits; leave one of the two out"
        )
    if memory is not None:
        return Limit(memory=read_bytes(memory))
    is_count = isinstance(checkpoint, int) and not isinstance(checkpoint, bool)
    if is_count and int(str(checkpoint)) >= 1:
        return Limit(checkpoint=int(str(checkpoint)))
    if isinstance(checkpoint, str) and checkpoint in WAYS:
        return Limit(checkpoint=checkpoint)
    raise errors.CheckpointError(
        f"checkpoint={checkpoint!r}: use a number of states to keep, at least 1, or "
        f"one of {errors.list_known(checkpoint, WAYS)}"
    )


def _read_windows(truncate: object) -> tuple[int, int]:
    given = truncate if isinstance(truncate, (tuple, list)) else ()
    numbers = [n for n in given if isinstance(n, int) and not isinstance(n, bool)]
    if len(given) != 2 or len(numbers) != 2 or min(numbers) < 1:
        raise errors.TruncationError(
            f"truncate={truncate!r}: use (k1, k2): every k1 steps, their losses go "
            "back k2 steps"
        )
    k1, k2 = numbers
    if k2 < k1:
        raise errors.TruncationError(
            f"truncate=({k1}, {k2}): k2 must be at least k1, or the losses of the "
            f"first {k1 - k2} of every {k1} steps would give no gradient at all"
        )
    return k1, k2


def reads_later(truncate: tuple[int, ...], what: str) -> errors.TruncationError:
    """The error for what cannot be truncated, because it reads h[t+1]."""
    return errors.TruncationError(
        f"truncate={truncate}: {what} reads later steps, h[t+1], so no window of past "
        "steps holds what its losses depend on"
    )


def read_bytes(memory: object) -> int:
    """A number of bytes, or a text such as "512MB" or "1.5 GiB".

    Raises: MemoryBudgetError.
    """
    text = str(memory).strip().upper()
    number = text.rstrip("KMGTIB ")
    unit = text[len(number) :].strip()
    try:
        found = int(float(number) * UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found < 1 or isinstance(memory, bool):
        raise errors.MemoryBudgetError(
            f"memory={memory!r}: use a number of bytes, or a text such as '512MB' or "
            "'1.5 GiB'"
        )
    return found


def plan(limit: Limit, tau: int, demand: Demand) -> CheckpointPlan:
    """The best plan for a limit. Raises: MemoryBudgetError if not one stretch fits."""
    if limit.memory is not None:
        return _fit(limit.memory, tau, demand)
    if limit.checkpoint == "optimal":
        slots = _cheapest(tau, demand)
    elif limit.checkpoint == "sqrt":
        slots = max(1, isqrt(tau - 1))
    else:
        slots = int(str(limit.checkpoint))
    return _at_slots(tau, slots, demand)


def _at_slots(tau: int, slots: int, demand: Demand) -> CheckpointPlan:
    """So many states over equal stretches: no step is run forward more than twice."""
    stretch = min(tau, max(LEAST, -(-tau // (slots + 1))))
    return _plan(tau, min(slots, -(-tau // stretch) - 1), stretch, demand)


def _cheapest(tau: int, demand: Demand) -> int:
    """How many states take the least memory if no step is run more than twice."""
    best = isqrt(tau * demand.step // max(1, demand.state))
    around = range(max(1, best - 2), best + 3)
    return min(around, key=lambda slots: _at_slots(tau, slots, demand).predicted)


def _plan(tau: int, slots: int, stretch: int, demand: Demand) -> CheckpointPlan:
    # A state that runs, the initial one, and room for one step more: see `cuts`.
    steps = min(tau, stretch + 1)
    predicted = demand.fixed + (slots + 2) * demand.state + steps * demand.step
    return CheckpointPlan(tau, stretch, slots, predicted)


def _fit(memory: int, tau: int, demand: Demand) -> CheckpointPlan:
    best: CheckpointPlan | None = None
    slots = 0
    while True:
        room = memory - demand.fixed - (slots + 2) * demand.state
        stretch = min(tau, room // demand.step - (room < tau * demand.step))
        if stretch < min(LEAST, tau):
            break
        count = -(-tau // stretch)
        if demand.is_binary or slots >= count - 1:
            found = _plan(tau, min(slots, count - 1), stretch, demand)
            if best is None or found.forward_steps < best.forward_steps:
                best = found
        if slots >= count - 1:
            break
        slots += 1
    if best is None:
        least = least_bytes(tau, demand)
        error = errors.MemoryBudgetError(
            f"memory={memory:,} bytes is too little: the least that works here is "
            f"{least:,} bytes"
        )
        error.least = least
        raise error
    return best


def least_bytes(tau: int, demand: Demand) -> int:
    """The bytes of the shortest stretch, or of the best cut for loops both ways."""
    if demand.is_binary:
        return _plan(tau, 0, min(LEAST, tau), demand).predicted
    slots = _cheapest(tau, demand)
    return _at_slots(tau, slots, demand).predicted
