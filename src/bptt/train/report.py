"""The end of a training run, as figures and as text."""

from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bptt.train.baselines import Baselines


@dataclass(frozen=True)
class Report:
    """What a run reached; losses in bits per held-out character, time in seconds."""

    cell: str
    n_parameters: int
    n_characters: int
    seconds: float
    validation: float
    baselines: Baselines
    sample: str
    folder: Path
    was_interrupted: bool

    def __rich__(self) -> RenderableType:
        """Lay the report out for a terminal."""
        end = "stopped early" if self.was_interrupted else "done"
        headline = (
            f"{end}: {self.n_characters:,} characters learned in "
            f"{self.seconds:.0f} s, {self.n_parameters:,} parameters"
        )
        return Group(
            Text(headline),
            self._table(),
            Text("\na sample, temperature 0.7:", style="bold"),
            Text(self.sample.strip("\n")),
            Text(f"\nsaved in {self.folder}", style="bold"),
            Text(f"continue a text:  bptt sample {self.folder} --prompt 'def '"),
        )

    def _table(self) -> Table:
        table = Table(
            title="held-out text, bits per character", title_justify="left", box=SIMPLE
        )
        table.add_column("code")
        table.add_column("bits", justify="right")
        name = f"this network ({self.cell})"
        table.add_row(name, f"{self.validation:.3f}", style="bold")
        table.add_row("lzma, given the training text", f"{self.baselines.lzma:.3f}")
        table.add_row("unigram", f"{self.baselines.unigram:.3f}")
        return table


def print_report(report: Report, console: Console) -> None:
    """Print a report; text from the model is never read as markup."""
    console.print(report, highlight=False, soft_wrap=True)
