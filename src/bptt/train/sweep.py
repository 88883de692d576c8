"""A sweep: every combination of some options, each a run of its own, on all cores.

    data = "book.txt"          # and any option, as in a file for --config
    epochs = 3
    out = "runs/sweep"
    [grid]
    cell = ["gru", "lstm"]
    learning_rate = [0.003, 0.006]
    seed = [0, 1, 2]

A run that has ended is left alone, one that was stopped goes on, and the others begin:
the same command again finishes what is left.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from bptt.train.checkpoint import LAST, path_of
from bptt.train.errors import ConfigFileError, SweepError
from bptt.train.files import make_folder, write_whole
from bptt.train.options import TrainingOptions
from bptt.train.run_config import from_table, read_table
from bptt.train.run_folder import read_config
from bptt.train.summary import SUMMARY_FILE, read_summary

GRID = "grid"
MAX_RUNS = 10_000
DONE, WENT_ON, FAILED = "there already", "trained", "failed"


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its folder, and the table of options it is told."""

    folder: Path
    table: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The values that are its own."""
        return self.folder.name

    @property
    def is_done(self) -> bool:
        """Whether the run has ended, uninterrupted."""
        if not (self.folder / SUMMARY_FILE).is_file():
            return False
        return not read_summary(self.folder).record.was_interrupted


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended; reason: the last line that it printed, where it failed."""

    job: Job
    how: str
    reason: str = ""


def read_sweep(path: Path) -> tuple[Path, list[Job]]:
    """The folder and the jobs of a sweep, every one of them checked.

    Raises: ConfigFileError, OptionError.
    """
    found = read_table(path)
    grid = found.pop(GRID, None)
    if not isinstance(grid, dict) or not grid:
        raise ConfigFileError(path, "has no table [grid] with a list for each option")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ConfigFileError(path, f"{GRID}.{name} is not a list of values")
    out = Path(str(found.pop("out", path.with_suffix(""))))
    n = 1
    for values in grid.values():
        n *= len(values)
    if n > MAX_RUNS:
        raise ConfigFileError(path, f"asks for {n:,} runs; {MAX_RUNS:,} are the most")
    jobs = []
    for values in product(*grid.values()):
        own = dict(zip(grid, values, strict=True))
        table = {**found, **own}
        TrainingOptions(**from_table(path, table).options)
        jobs.append(Job(out / _name(own), table))
    twice = len(jobs) - len({job.folder for job in jobs})
    if twice:
        raise ConfigFileError(path, f"names {twice} runs twice")
    return out, jobs


def run_sweep(
    out: Path, jobs: Sequence[Job], n_jobs: int, tell: Callable[[JobOutcome], None]
) -> list[JobOutcome]:
    """Run what is not done, `n_jobs` at a time, each a process of its own.

    tell: hears of every job as it ends. What a job prints goes to NAME.log beside its
    folder.
    Raises: FolderNotWritableError, SweepError if a run there has other options.
    """
    make_folder(out)
    for job in jobs:
        _refuse_other(job)
    cores = os.cpu_count() or 1
    threads = str(max(1, cores // n_jobs))

    def run(job: Job) -> JobOutcome:
        outcome = JobOutcome(job, DONE) if job.is_done else _run(job, threads)
        tell(outcome)
        return outcome

    with ThreadPoolExecutor(n_jobs) as pool:
        return list(pool.map(run, jobs))


def _refuse_other(job: Job) -> None:
    """A folder of this name must hold the run that the sweep means."""
    if not path_of(job.folder, LAST).is_file():
        return
    found = TrainingOptions.from_json(read_config(job.folder)["options"])
    if found != TrainingOptions(**from_table(job.folder, job.table).options):
        raise SweepError(job.folder)


def _run(job: Job, threads: str) -> JobOutcome:
    table = job.folder.with_name(f"{job.name}.json")
    write_whole(table, (json.dumps(job.table, indent=1) + "\n").encode())
    how = ["--config", str(table), "--out", str(job.folder)]
    if path_of(job.folder, LAST).is_file():
        how = ["--resume", str(job.folder)]
    log = job.folder.with_name(f"{job.name}.log")
    with log.open("w", encoding="utf-8") as stream:
        ended = subprocess.run(  # noqa: S603  # this very program
            [sys.executable, "-m", "bptt", "train", *how],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "BPTT_THREADS": threads},
            check=False,
        )
    if ended.returncode == 0:
        return JobOutcome(job, WENT_ON)
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return JobOutcome(job, FAILED, lines[-1] if lines else f"exit {ended.returncode}")


def _name(own: Mapping[str, Any]) -> str:
    """A folder's name from the values of a job; no sign in it leads elsewhere."""
    text = ",".join(f"{name}={value}" for name, value in own.items())
    return "".join(c if c.isalnum() or c in "=,._-" else "-" for c in text)[:200]
