"""The end of a training run, as figures and as text."""

from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bptt.train.data.baselines import Baselines
from bptt.train.data.form import LossUnit


@dataclass(frozen=True)
class Report:
    """What a run reached; losses in the unit, time in seconds.

    validation, accuracy: with the parameters after the last step; best: the lowest
    validation loss, after window best_window; test: of the best parameters, where the
    data has a test part.
    """

    cell: str
    unit: LossUnit
    n_parameters: int
    n_items: int
    seconds: float
    validation: float
    accuracy: float | None
    best: float
    best_window: int
    test: float | None
    test_accuracy: float | None
    clip_share: float
    skipped: int
    baselines: Baselines | None
    sample: str | None
    folder: Path
    was_interrupted: bool

    @property
    def n_characters(self) -> int:
        """The characters learned, or whatever the unit counts."""
        return self.n_items

    def __rich__(self) -> RenderableType:
        """Lay the report out for a terminal."""
        end = "stopped early" if self.was_interrupted else "done"
        lines: list[RenderableType] = [
            Text(
                f"{end}: {self.n_items:,} {self.unit.item}s learned in "
                f"{self.seconds:.0f} s, {self.n_parameters:,} parameters"
                f"{self._clipping()}"
            ),
            self._table(),
        ]
        if self.sample is not None:
            lines += [
                Text("\na sample, temperature 0.7:", style="bold"),
                Text(self.sample.strip("\n")),
            ]
        lines.append(Text(f"\nsaved in {self.folder}", style="bold"))
        lines.append(Text(f"curves:           {self.folder / 'report.html'}"))
        if self.was_interrupted:
            lines.append(Text(f"go on:            bptt train --resume {self.folder}"))
        if self.sample is not None:
            lines.append(
                Text(f"continue a text:  bptt sample {self.folder} --prompt 'def '")
            )
        else:
            lines.append(Text(f"measure it:       bptt eval {self.folder} DATA"))
        return Group(*lines)

    def _clipping(self) -> str:
        text = f"; {self.clip_share:.0%} of the gradients clipped"
        return text + (f", {self.skipped} skipped" if self.skipped else "")

    def _table(self) -> Table:
        data = "held-out text" if self.baselines else "held-out data"
        title = f"{data}, {self.unit.name}"
        table = Table(title=title, title_justify="left", box=SIMPLE)
        table.add_column("code" if self.baselines else "")
        table.add_column("bits" if self.baselines else "loss", justify="right")
        has_accuracy = self.accuracy is not None and self.baselines is None
        if has_accuracy:
            table.add_column("accuracy", justify="right")

        def add(
            name: str, loss: float, accuracy: float | None, style: str = ""
        ) -> None:
            shown = [f"{accuracy:.2%}" if accuracy is not None else ""]
            table.add_row(
                name, format_loss(loss), *(shown if has_accuracy else []), style=style
            )

        name = f"this network ({self.cell})"
        add(name, self.validation, self.accuracy, "bold")
        if self.best < self.validation:
            add(
                f"the same after window {self.best_window:,}, its best", self.best, None
            )
        if self.test is not None:
            add("its best on the test part", self.test, self.test_accuracy)
        if self.baselines:
            if self.baselines.lzma is not None:
                add("lzma, given the training text", self.baselines.lzma, None)
            add("unigram", self.baselines.unigram, None)
        return table


def format_loss(loss: float) -> str:
    """Three decimals, or two digits of a small number."""
    return f"{loss:.3f}" if loss >= 0.01 or loss == 0 else f"{loss:.1e}"


def print_report(report: Report, console: Console) -> None:
    """Print a report; text from the model is never read as markup."""
    console.print(report, highlight=False, soft_wrap=True)
