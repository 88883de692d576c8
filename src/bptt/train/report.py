"""The end of a training run, as figures and as text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bptt.train.data.baselines import Baselines
from bptt.train.data.form import LossUnit
from bptt.train.door.records import is_figure
from bptt.train.program import call
from bptt.train.progress import print_line
from bptt.train.tallies import ACCURACY, HIGHER_IS_BETTER, LOWER_IS_BETTER, Figures
from bptt.train.trivial import Predictor

MAX_CLASSES_SHOWN = 12
# What a run that was stopped has not measured, in words.
UNMEASURED = {
    "validation": "the held-out data with the parameters of the last step",
    "test": "the test part",
    "references": "predictors without a network",
}
PERCENT = HIGHER_IS_BETTER


@dataclass(frozen=True)
class PartReport:
    """A model on one part, beside what predictors without a network reach there.

    loss: in the unit of the run; by_class: the share of each class that is found.
    """

    loss: float
    figures: Figures = field(default_factory=dict)
    by_class: Sequence[float | None] | None = None
    references: Sequence[Predictor] = ()

    def remarks(self, part: str) -> list[str]:
        """A sentence for every figure that is no better than without a network."""
        return [
            f"No better than the {other.name} on the {part}: {'; '.join(lost)}."
            for other in self.references
            if other.is_trivial and (lost := self._lost_to(other))
        ]

    def _lost_to(self, other: Predictor) -> list[str]:
        """The figures, in words, by which a predictor without a network is as good."""
        lost = []
        if not self.loss < other.loss:
            lost.append(
                f"loss {format_loss(self.loss)} against {format_loss(other.loss)}"
            )
        for name in (*HIGHER_IS_BETTER, *LOWER_IS_BETTER):
            if name not in self.figures or name not in other.figures:
                continue
            mine, its = self.figures[name], other.figures[name]
            if not (mine > its if name in HIGHER_IS_BETTER else mine < its):
                shown = (
                    f"{format_figure(name, mine)} against {format_figure(name, its)}"
                )
                lost.append(f"{in_words(name)} {shown}")
        return lost

    def to_json(self) -> dict[str, Any]:
        """The figures, JSON's null for what is no number."""
        every = {"loss": self.loss, **self.figures}
        found: dict[str, Any] = {
            n: v if is_figure(v) else None for n, v in every.items()
        }
        if self.by_class is not None:
            found["recall_per_class"] = list(self.by_class)
        return found


@dataclass(frozen=True)
class Report:
    """What a run reached; losses in the unit, time in seconds.

    last: with the parameters after the last step, on the validation part; best: with
    those of the lowest validation loss, after window best_window; tested: the latter on
    the test part, where the data has one; baselines: of a text; classes: the words of
    labels, where they have any; unmeasured: keys of UNMEASURED.
    """

    cell: str
    unit: LossUnit
    n_parameters: int
    n_items: int
    n_windows: int
    seconds: float
    last: PartReport
    best_part: PartReport
    best_window: int
    tested: PartReport | None
    clip_share: float
    skipped: int
    baselines: Baselines | None
    sample: str | None
    folder: Path
    was_interrupted: bool
    classes: Sequence[str] = ()
    unmeasured: Sequence[str] = ()

    @property
    def validation(self) -> float:
        """The validation loss after the last step."""
        return self.last.loss

    @property
    def best(self) -> float:
        """The lowest validation loss."""
        return self.best_part.loss

    @property
    def accuracy(self) -> float | None:
        """The accuracy on the validation part after the last step."""
        return self.last.figures.get(ACCURACY)

    @property
    def test(self) -> float | None:
        """The loss of the best parameters on the test part."""
        return None if self.tested is None else self.tested.loss

    @property
    def test_accuracy(self) -> float | None:
        """The accuracy of the best parameters on the test part."""
        return None if self.tested is None else self.tested.figures.get(ACCURACY)

    @property
    def n_characters(self) -> int:
        """The characters learned, or whatever the unit counts."""
        return self.n_items

    @property
    def remarks(self) -> list[str]:
        """Where the network is no better than a predictor without one."""
        tested = [] if self.tested is None else self.tested.remarks("test part")
        return [
            *self.best_part.remarks("held-out part"), *tested,
            *([in_sentence(self.unmeasured)] if self.unmeasured else []),
        ]  # fmt: skip

    def figures(self) -> dict[str, float]:
        """The final figures as one line of metrics.jsonl: best, test and references."""
        unit = self.unit.name.replace(" ", "_")
        named: dict[str, float] = {
            "window": self.n_windows,
            "best_window": self.best_window,
            "parameters": self.n_parameters,
            "items": self.n_items,
            "clip_share": self.clip_share,
            "n_skipped": self.skipped,
        }
        for part, report in (("best", self.best_part), ("test", self.tested)):
            if report is None:
                continue
            named[f"{part}_{unit}"] = report.loss
            named |= {f"{part}_{name}": v for name, v in report.figures.items()}
            named |= self._recalls(part, report)
            for other in report.references:
                key = f"{part}_of_{other.name.replace(' ', '_')}"
                named[f"{key}_{unit}"] = other.loss
                named |= {f"{key}_{name}": v for name, v in other.figures.items()}
        return {name: value for name, value in named.items() if is_figure(value)}

    def _recalls(self, part: str, report: PartReport) -> dict[str, float]:
        """The share of each class that is found, under the names of the classes."""
        shares = enumerate(report.by_class or [])
        names = self.classes
        return {
            f"{part}_recall_of_{names[k] if names else k}": share
            for k, share in shares
            if share is not None
        }

    def to_json(self) -> dict[str, Any]:
        """The report as summary.json holds it."""
        tested = None if self.tested is None else self.tested.to_json()
        parts = {"validation": self.best_part, "test": self.tested}
        return {
            "cell": self.cell,
            "unit": self.unit.name,
            "item": self.unit.item,
            "parameters": self.n_parameters,
            "items": self.n_items,
            "windows": self.n_windows,
            "seconds": round(self.seconds, 3),
            "was_interrupted": self.was_interrupted,
            "clip_share": self.clip_share,
            "skipped": self.skipped,
            "last": self.last.to_json(),
            "best": {"window": self.best_window, **self.best_part.to_json()},
            "test": tested,
            "baselines": {
                part: {r.name: {"loss": r.loss, **r.figures} for r in p.references}
                for part, p in parts.items()
                if p is not None
            },
            "remarks": self.remarks,
            "sample": self.sample,
            "classes": list(self.classes),
        }

    def __rich__(self) -> RenderableType:
        """Lay the report out for a terminal."""
        end = "stopped early" if self.was_interrupted else "done"
        table = self._table()
        lines: list[RenderableType] = [
            Text(
                f"{end}: {self.n_items:,} {self.unit.item}s learned in "
                f"{self.seconds:.0f} s, {self.n_parameters:,} parameters"
                f"{self._clipping()}"
            ),
            *([table] if table.row_count else []),
            *map(Text, recalls((self.tested or self.best_part).by_class, self.classes)),
            *map(Text, self.remarks),
        ]
        if self.sample is not None:
            lines += [
                Text("\na sample, temperature 0.7:", style="bold"),
                Text(self.sample.strip("\n")),
            ]
        lines.append(Text(f"\nsaved in {self.folder}", style="bold"))
        lines.append(Text(f"all figures:      {self.folder / 'summary.json'}"))
        lines.append(Text(f"curves:           {self.folder / 'report.html'}"))
        if self.was_interrupted:
            again = call("train", "--resume", self.folder)
            lines.append(Text(f"go on:            {again}"))
        if self.sample is not None:
            more = call("sample", self.folder, "--prompt", "def ")
            lines.append(Text(f"continue a text:  {more}"))
        else:
            lines.append(Text(f"measure it:       {call('eval', self.folder, 'DATA')}"))
        return Group(*lines)

    def _clipping(self) -> str:
        text = f"; {self.clip_share:.0%} of the gradients clipped"
        return text + (f", {self.skipped} skipped" if self.skipped else "")

    def _table(self) -> Table:
        data = "held-out text" if self.baselines else "held-out data"
        table = Table(
            title=f"{data}, {self.unit.name}", title_justify="left", box=SIMPLE
        )
        table.add_column("")
        table.add_column("bits" if self.baselines else "loss", justify="right")
        names = list(self.last.figures or self.best_part.figures)
        for name in names:
            table.add_column(in_words(name), justify="right")

        def add(name: str, part: PartReport | Predictor, style: str = "") -> None:
            known = part.figures
            cells = [format_figure(n, known[n]) if n in known else "" for n in names]
            table.add_row(name, format_loss(part.loss), *cells, style=style)

        if "validation" not in self.unmeasured:
            add(f"this network ({self.cell})", self.last, "bold")
        if isfinite(self.best) and not self.validation <= self.best:
            add(f"its best, after window {self.best_window:,}", self.best_part)
        for other in self.best_part.references:
            add(other.name, other)
        if self.tested is not None:
            add("its best on the test part", self.tested, "bold")
            for other in self.tested.references:
                add(f"{other.name}, test part", other)
        return table


def in_sentence(unmeasured: Sequence[str]) -> str:
    """What was not measured, and when it will be."""
    what = ", ".join(UNMEASURED[name] for name in unmeasured)
    return (
        f"Not measured after Ctrl-C, for it takes longer than a few seconds: {what}. "
        "The end of the run measures this."
    )


def recalls(
    by_class: Sequence[float | None] | None, names: Sequence[str] = ()
) -> list[str]:
    """A line with the share of each class that is found, where they are few."""
    known = by_class or []
    if not 0 < len(known) <= MAX_CLASSES_SHOWN:
        return []
    shown = (
        f"{names[k] if names else k}: {r:.1%}"
        for k, r in enumerate(known)
        if r is not None
    )
    return ["recall of each class  " + ", ".join(shown)]


def in_words(name: str) -> str:
    """The name of a figure as it is printed."""
    known = {"f1": "F1", "rmse": "RMSE", "mae": "MAE"}
    return known.get(name, name.replace("_", " "))


def format_figure(name: str, value: float) -> str:
    """A share in per cent, anything else in four digits."""
    return f"{value:.2%}" if name in PERCENT else f"{value:.4g}"


def format_loss(loss: float) -> str:
    """Three decimals, or two digits of a small number."""
    return f"{loss:.3f}" if loss >= 0.01 or loss <= 0 else f"{loss:.1e}"


def print_report(report: Report, console: Console) -> None:
    """Print a report; text from the model is never read as markup."""
    print_line(console, report)
