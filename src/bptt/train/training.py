"""One training run from text to run folder."""

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bptt.train import run_folder
from bptt.train.baselines import measure_baselines
from bptt.train.evaluation import bits_per_character
from bptt.train.interrupt import StopOnInterrupt
from bptt.train.loop import Learner, learn
from bptt.train.meter import Meter
from bptt.train.model import CharacterModel, build_model
from bptt.train.optimiser import Optimiser, import_torch
from bptt.train.options import N_VALIDATIONS, TrainingOptions
from bptt.train.progress import TrainingProgress
from bptt.train.report import Report
from bptt.train.run_folder import Metrics, Parameters
from bptt.train.sampling import Sampler
from bptt.train.streams import Split, Streams, split_text
from bptt.train.text import Text
from bptt.train.threads import one_thread
from bptt.train.vocabulary import Vocabulary
from bptt.version import __version__

SAMPLE_LENGTH = 300
SAMPLE_TEMPERATURE = 0.7


@dataclass(frozen=True)
class Run:
    """Everything a run needs, made from a text and options.

    Only the optimiser changes anything: it works in the memory of `parameters`.
    """

    options: TrainingOptions
    split: Split
    vocabulary: Vocabulary
    model: CharacterModel
    parameters: Parameters
    folder: Path

    def evaluate(self) -> float:
        """Measure bits per held-out character with the parameters as they are."""
        return bits_per_character(
            self.model.cell,
            self.parameters,
            self.vocabulary.encode(self.split.validation),
            self.vocabulary,
            tau=self.options.tau,
        )

    def sample(self) -> str:
        """Write a short text, seeded like the run."""
        sampler = Sampler(self.model, self.parameters, self.vocabulary)
        characters = sampler.write(
            "\n",
            SAMPLE_LENGTH,
            temperature=SAMPLE_TEMPERATURE,
            seed=self.options.seed,
        )
        return "".join(characters)


def train(
    text: Text, options: TrainingOptions, folder: Path, console: Console
) -> Report:
    """Train a character model on a text and leave the result in a run folder.

    Everything that can be refused is refused before the first step. The parameters
    are saved at every validation and at the end; SIGINT ends the run after the
    current window, as if the text ended there.
    Raises: the errors of `bptt.train.errors` and of the cell.

    >>> report = train(read_text(), TrainingOptions(), Path("runs/one"), Console())
    ... # doctest: +SKIP
    """
    import_torch()
    run_folder.import_safetensors()
    run, learner = _prepare(text, options, folder)
    _announce(text, run, console)
    started = time.perf_counter()
    with one_thread(), StopOnInterrupt() as stop:
        meter = _learn(run, learner, console, lambda: stop.requested)
    was_interrupted = meter.windows < meter.status.n_windows
    return Report(
        cell=options.cell,
        n_parameters=sum(p.size for p in run.parameters.values()),
        n_characters=meter.characters,
        seconds=time.perf_counter() - started,
        validation=meter.validation if meter.validation is not None else float("nan"),
        baselines=measure_baselines(run.split, run.vocabulary),
        sample=run.sample(),
        folder=folder,
        was_interrupted=was_interrupted,
    )


def _prepare(text: Text, options: TrainingOptions, folder: Path) -> tuple[Run, Learner]:
    split = split_text(
        text.characters, options.held_out, n_b=options.n_b, tau=options.tau
    )
    vocabulary = Vocabulary.build(split.training)
    model = build_model(options.cell)
    parameters = model.init(len(vocabulary), options)
    optimiser = Optimiser(
        options.optimiser, parameters, options.learning_rate, options.optimiser_options
    )
    run_folder.new_folder(folder)
    config = _config(text, options, len(vocabulary))
    run_folder.write_model(folder, model.cell.text, config, vocabulary)
    run = Run(options, split, vocabulary, model, parameters, folder)
    return run, Learner(model.cell, parameters, optimiser, options.clip)


def _config(text: Text, options: TrainingOptions, n_entries: int) -> dict[str, Any]:
    given = asdict(options)
    if not isfinite(options.clip):
        given["clip"] = None  # JSON has no infinity
    return {
        "options": given,
        "data": {
            "source": text.source,
            "files": text.n_files,
            "characters": len(text.characters),
        },
        "vocabulary_entries": n_entries,
        "versions": {
            "bptt": __version__,
            "numpy": np.__version__,
            "torch": import_torch().__version__,
            "python": platform.python_version(),
        },
    }


def _announce(text: Text, run: Run, console: Console) -> None:
    n_parameters = sum(p.size for p in run.parameters.values())
    files = f"{text.n_files:,} file" + ("s" if text.n_files != 1 else "")
    console.print(
        f"{text.source}: {len(text.characters):,} characters of {files}, "
        f"{len(run.split.validation):,} held out; vocabulary {len(run.vocabulary)}\n"
        f"{run.options.cell}: {n_parameters:,} parameters, windows of "
        f"{run.options.tau} steps in {run.options.n_b} streams",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _learn(
    run: Run, learner: Learner, console: Console, should_stop: Callable[[], bool]
) -> Meter:
    streams = Streams.cut(run.vocabulary.encode(run.split.training), run.options.n_b)
    n_windows = streams.count_windows(run.options.tau)
    every = max(1, n_windows // N_VALIDATIONS)
    total = n_windows * run.options.epochs
    meter = Meter()
    with (
        Metrics(run.folder) as metrics,
        TrainingProgress(console, total) as progress,
    ):
        for step in learn(learner, streams, run.options):
            metrics.write(meter.add(step))
            is_last = step.number == total or should_stop()
            # Not just before the last one: two validations of nearly one model.
            is_due = step.number % every == 0 and total - step.number >= every // 2
            if is_last or is_due:
                began = time.perf_counter()
                bits = run.evaluate()
                run_folder.write_parameters(run.folder, run.parameters)
                took = time.perf_counter() - began
                metrics.write(meter.add_validation(bits, took))
            progress.show(meter.status)
            if is_last:
                break
    return meter
