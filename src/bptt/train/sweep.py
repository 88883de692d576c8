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
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import IO, Any

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
WAITS = "waits for a process that an earlier sweep began"


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

    tell: hears of every job as it ends, or waits: a sweep that was killed leaves its
    processes at work. What a job prints goes to NAME.log beside its
    folder.
    Raises: FolderNotWritableError, SweepError if a run there has other options.
    """
    make_folder(out)
    for job in jobs:
        _refuse_other(job)
    cores = os.cpu_count() or 1
    threads = str(max(1, cores // n_jobs))

    def run(job: Job) -> JobOutcome:
        outcome = JobOutcome(job, DONE) if job.is_done else _run(job, threads, tell)
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


def _run(job: Job, threads: str, tell: Callable[[JobOutcome], None]) -> JobOutcome:
    log = job.folder.with_name(f"{job.name}.log")
    with log.open("a", encoding="utf-8") as stream:
        _hold(stream, lambda: tell(JobOutcome(job, WAITS)))
        if job.is_done:
            return JobOutcome(job, DONE)
        stream.truncate(0)
        ended = subprocess.run(  # noqa: S603  # this very program
            [sys.executable, "-m", "bptt", "train", *_arguments(job)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "BPTT_THREADS": threads},
            check=False,
        )
    if ended.returncode == 0:
        return JobOutcome(job, WENT_ON)
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return JobOutcome(job, FAILED, lines[-1] if lines else f"exit {ended.returncode}")


def _arguments(job: Job) -> list[str]:
    if path_of(job.folder, LAST).is_file():
        return ["--resume", str(job.folder)]
    table = job.folder.with_name(f"{job.name}.json")
    write_whole(table, (json.dumps(job.table, indent=1) + "\n").encode())
    return ["--config", str(table), "--out", str(job.folder)]


def _hold(log: IO[str], waits: Callable[[], None]) -> None:
    """Lock a log; the process that writes it has the lock as long as it lives.

    A system or a file system that has no such locks is used without.
    """
    try:
        posix = import_module("fcntl")
        try:
            posix.flock(log, posix.LOCK_EX | posix.LOCK_NB)
        except BlockingIOError:
            waits()
            posix.flock(log, posix.LOCK_EX)
    except (ImportError, OSError):
        pass


def _name(own: Mapping[str, Any]) -> str:
    """A folder's name from the values of a job; no sign in it leads elsewhere."""
    text = ",".join(f"{name}={value}" for name, value in own.items())
    return "".join(c if c.isalnum() or c in "=,._-" else "-" for c in text)[:200]
