"""Tables of runs: no figure is cut, however narrow the place."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from bptt.cli.compare import show

HEADS = ("", "runs", "loss", "accuracy", "mean recall", "perplexity", "parameters")
ROW = ("cell gru", "2", "1.186 ± 0.127", "16.67% ± 23.57%", "12.50% ± 17.68%",
       "3.272 ± 0.4157", "22,812")  # fmt: skip


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_figure_of_a_comparison_is_whole(is_terminal, width):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=is_terminal)
    one = SimpleNamespace(title="Held-out", heads=HEADS, rows=[ROW])
    show(SimpleNamespace(tables=lambda: [one]), console)
    text = stream.getvalue()
    assert all(figure in text for figure in ROW)
