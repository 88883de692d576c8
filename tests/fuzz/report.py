"""Many cases in a row, the faults sorted by kind, and a report to read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from tests.fuzz.case import Case
from tests.fuzz.generate import generate
from tests.fuzz.minimise import minimise
from tests.fuzz.stages import CORE, SLOW, stages_for
from tests.fuzz.trial import Fault, Outcome, attempt


@dataclass
class Tally:
    """What a run tried and found; first: the first case of every kind of fault."""

    cases: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], tuple[int, Fault]] = field(default_factory=dict)

    def add(self, seed: int, out: Outcome) -> list[Fault]:
        """Count a case; the faults of kinds not seen before."""
        self.cases += 1
        self.stages.update(out.ran)
        self.skipped.update([out.skipped] if out.skipped else [])
        self.fallbacks.update(out.fallbacks)
        new = []
        for fault in out.faults:
            self.faults[fault.kind] += 1
            if fault.kind not in self.first:
                self.first[fault.kind] = (seed, fault)
                new.append(fault)
        return new

    def __str__(self) -> str:
        compared = self.cases - sum(self.skipped.values())
        lines = [f"{self.cases} cells tried, {compared} with values compared"]
        lines += [f"  {n:6} times {name}" for name, n in self.stages.most_common()]
        lines += [f"  {n:6} not compared: {why}" for why, n in self.skipped.items()]
        lines += [
            f"  {n:6} without kernels: {why}" for why, n in self.fallbacks.items()
        ]
        lines.append(f"{len(self.faults)} kinds of faults")
        for kind, count in self.faults.most_common():
            lines.append(
                f"  {count:6} {kind[0]}: {kind[1]} (seed {self.first[kind][0]})"
            )
        return "\n".join(lines)


def run(
    first_seed: int, *, seconds: float, cases: int, share: int = 4, tally: Tally,
    only: Collection[str] = (),
) -> Iterator[tuple[int, Fault]]:  # fmt: skip
    """Try cases until the time or the number is over; every new kind of fault.

    only: names of stages, instead of the core and a share of the others.
    """
    end = time.process_time() + seconds
    for seed in range(first_seed, first_seed + cases):
        if time.process_time() > end:
            return
        case = generate(seed)
        stages = {n: s for n, s in {**CORE, **SLOW}.items() if n in only}
        found = attempt(case, stages or stages_for(case, share))
        for fault in tally.add(seed, found):
            yield seed, fault


def shrink(seed: int, fault: Fault, seconds: float = 60.0) -> Case:
    """The smallest case found with the same kind of fault."""
    stage = {**CORE, **SLOW}.get(fault.stage)
    stages = {} if stage is None else {fault.stage: stage}

    def keeps(case: Case) -> bool:
        try:
            out = attempt(case, stages)
        except Exception:  # noqa: BLE001  (no case: the oracle cannot read it)
            return False
        return any(found.kind == fault.kind for found in out.faults)

    return minimise(generate(seed), keeps, seconds)


def show(case: Case) -> str:
    """A case as text: its equations, and what differs from a plain call."""
    options = {
        "sizes": dict(case.sizes), "tau": case.tau, "n_b": case.n_b,
        "lengths": case.lengths, "weights": case.weights, "reduction": case.reduction,
        "start": sorted(case.start), "seeds": sorted(case.seeds),
        "nodes": sorted(case.nodes), "inputs": case.wants_inputs,
        "initial": case.wants_initial, "threads": case.threads, "dtype": case.dtype,
    }  # fmt: skip
    plain = ("None", "''", "'sum'", "[]", "False", "'float64'")
    said = {name: v for name, v in options.items() if repr(v) not in plain}
    return f"{case.text}{said}"
