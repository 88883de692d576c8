"""How far gradients travel in a run, before it learnt and after, in its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bptt.execute.dispatch import drop_spare
from bptt.flow import GradientFlow
from bptt.flow.words import LANGUAGES, say
from bptt.train.data.opening import Data, make_task
from bptt.train.data.text import STANDARD_LIBRARY
from bptt.train.data.windows import weights_of
from bptt.train.files import refuse_special
from bptt.train.gaps import inputs_of, total_of
from bptt.train.run_folder import read_run
from bptt.train.run_page import write_page
from bptt.train.sampling import best_or_last
from bptt.train.summary import add_to_summary
from bptt.train.tensorboard import BOARD, Board
from bptt.train.training import read_again

FLOW_FILES = {"first": "flow_first.html", "last": "flow_last.html"}
NO_WORDS = {STANDARD_LIBRARY: "Python, *.py"}  # for a page in several languages
ROWS, STEPS = 4, 100  # of the training data's beginning
MAX_SAID = 2**20  # of what the model says of the entries in those steps


def write_flows(folder: Path, data: Data | None = None) -> dict[str, GradientFlow]:
    """Write the flow of the initial parameters, and of the best ones.

    On the first steps of the training data's first rows, at most 4 rows of 100 steps,
    however short the window of training, and fewer rows where there are many entries.
    data: without it, what the run was recorded to have read. Both verdicts go to
    summary.json and report.html, too. Returns: both, by "first" and "last".
    """
    saved = read_run(folder, best_or_last(folder))
    data = data or read_again(saved)
    task = make_task(data, saved.options, saved.vocabulary, saved.tokenised)
    dataset = task.parts["training"]
    n = max(1, min(ROWS, MAX_SAID // (STEPS * task.form.n_o)))
    rows = np.sort(np.concatenate(dataset.groups(0)))[:n]
    # Beyond the window of training: what it cuts off is seen in a longer run alone.
    stop = min(dataset.length_of(rows), STEPS)
    block = dataset.read(rows, 0, stop)
    weights = weights_of(block, stop)
    weights = weights / (total_of(block, weights) or 1.0)
    cell = saved.model.cell
    given = inputs_of(cell, block)
    shapes = [f"{name} {np.shape(array)}" for name, array in given.items()]
    source = saved.config.get("data", {}).get("source", "")
    about = ", ".join([NO_WORDS.get(source, source), *shapes])
    found = {}
    for when, file in FLOW_FILES.items():
        drop_spare()
        parameters = saved.parameters
        if when == "first":
            parameters = saved.model.init(task.form, saved.options, "float32")
        inputs = cell.draw(parameters, given, mean=True)
        found[when] = cell.flow(
            parameters, inputs, weights=weights, lengths=block.lengths,
            window=task.truncation.k2, data=about, seed=saved.options.seed,
            name={one: say(f"text.{when}", one, cell=saved.options.cell)
                  for one in LANGUAGES},
        )  # fmt: skip
        refuse_special(folder / file)
        found[when].save(folder / file)
    with Board(folder / BOARD if saved.options.tensorboard else None, 0) as board:
        board.say("gradients", found["last"].verdict, 0)
    add_to_summary(folder, "gradients", {n: one.verdict for n, one in found.items()})
    write_page(folder)
    return found
