"""What a person sees while a model trains."""

from typing import Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from bptt.train.meter import Status

OTHER_COLUMNS = 30  # of a terminal, for the bar, the percentage and the time left
PLAIN_LINES = 10  # how many lines a run prints where there is no terminal


def print_line(console: Console, text: RenderableType, style: str = "") -> None:
    """Print what a person reads: never as markup, wrapped on a terminal alone.

    Whoever reads a pipe or a file gets every line whole.
    """
    console.print(
        text,
        style=style,
        highlight=False,
        markup=False,
        soft_wrap=not console.is_terminal,
    )


class TrainingProgress:
    """A live bar on a terminal; elsewhere a line now and then. A context manager."""

    def __init__(self, console: Console, status: Status) -> None:
        """Prepare for a run that stands at a status."""
        self._console = console
        n_windows = status.n_windows
        self._plain_every = max(1, n_windows // PLAIN_LINES)
        self._is_live = console.is_terminal
        self._bar = Progress(
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            TextColumn("{task.percentage:>3.0f}%"),
            _LossColumn(console.width - OTHER_COLUMNS),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
            expand=True,
            transient=True,
            disable=not self._is_live,
        )
        self._task = self._bar.add_task(
            "training", total=n_windows, completed=status.window, status=None
        )

    def show(self, status: Status) -> None:
        """Show the state after a window."""
        if self._is_live:
            self._bar.update(self._task, completed=status.window, status=status)
        elif status.window % self._plain_every == 0:
            done = 100 * status.window / status.n_windows
            print_line(self._console, f"{done:3.0f} %  {describe(status)}")

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()


def describe(status: Status, room: int | None = None) -> str:
    """Say the losses, the speed and the gradient's norm in one line.

    room: the columns there are; what does not fit is left out, from the end.
    """
    parts = [f"{_short(status.training)} {status.unit.short}"]
    if status.validation is not None:
        parts.append(f"held-out {_short(status.validation)}")
    parts += [_speed(status), f"‖∇‖ {_short(status.norm)}"]
    if status.clip_share:
        parts.append(f"clipped {status.clip_share:.0%}")
    if status.skipped:
        parts.append(f"{status.skipped} skipped")
    while room is not None and len(parts) > 1 and len(", ".join(parts)) > room:
        parts.pop()
    return ", ".join(parts)


def _short(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.1e}"


def _speed(status: Status) -> str:
    unit = {"character": "char"}.get(status.unit.item, status.unit.item)
    if status.speed >= 1000:
        return f"{status.speed / 1000:,.1f}k {unit}/s"
    return f"{status.speed:,.0f} {unit}/s"


class _LossColumn(ProgressColumn):
    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def render(self, task: Task) -> Text:
        status = task.fields["status"]
        shown = describe(status, self._room) if status else "compiling the cell"
        return Text(shown, no_wrap=True)
