"""The table of published recurrences in Markdown."""

import math

from benchmarks.catalogue import SCAN, TRANSFORMERS
from benchmarks.rivals import LOOP, OURS

FIRST_CALL = 1.0  # seconds asked of a first call
ASKED = {LOOP: 3.0, SCAN: 1.5}  # geometric means asked over each
RIVALS = (LOOP, SCAN, TRANSFORMERS)


def _ratio(row, rival):
    seconds = row["seconds"]
    return seconds[rival] / seconds[OURS] if rival in seconds else None


def _milliseconds(value):
    return "-" if value is None else f"{1e3 * value:.2f}"


def _misses(row):
    """What the row does not reach, in words."""
    found = [f"slower than {r}" for r in RIVALS if (_ratio(row, r) or 1.0) < 1.0]
    if row["first"][OURS] > FIRST_CALL:
        found.append(f"first call over {FIRST_CALL:.0f} s")
    if not row["agrees"]:
        found.append("gradients differ by {:.0e}".format(max(row["error"].values())))
    return ", ".join(found)


def write_catalogue(rows):
    """A table per number of threads, with geometric means and what was missed."""
    lines = []
    for threads in sorted({row["threads"] for row in rows}):
        own = [row for row in rows if row["threads"] == threads]
        plural = "" if threads == 1 else "s"
        lines += [f"### {threads} thread{plural}", "", _head()]
        lines += [_line(row) for row in own]
        lines += ["", *_means(own), ""]
    return "\n".join(lines).rstrip()


def _head():
    titles = ("cell", "tau, n_b", "bptt ms", *(f"{r} ms" for r in RIVALS),
              "roofline ms", "binds", "first call s", "misses")  # fmt: skip
    return "\n".join((f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"))


def _line(row):
    seconds = row["seconds"]
    cells = (
        row["catalogue"], f"{row['tau']}, {row['n_b']}", _milliseconds(seconds[OURS]),
        *(_milliseconds(seconds.get(rival)) for rival in RIVALS),
        _milliseconds(row["limit"]), row["binds"], f"{row['first'][OURS]:.2f}",
        _misses(row),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _means(rows):
    for rival in RIVALS:
        ratios = [r for row in rows if (r := _ratio(row, rival)) is not None]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            asked = ASKED.get(rival)
            goal = f", {asked:g} asked" if asked else ""
            missed = "; missed" if asked and mean < asked else ""
            yield f"- {mean:.2f} times {rival} in geometric mean{goal}{missed}"
