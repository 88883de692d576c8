"""One training run from data to run folder, and the same run taken up again."""

import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bptt.train.budget import refuse_limit
from bptt.train.checkpoint import (
    LAST,
    Checkpoint,
    damaged,
    import_safetensors,
)
from bptt.train.data.form import unit_of
from bptt.train.data.opening import Data, DataRequest, fingerprint, make_task, open_data
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.sequence_task import refuse_unlike
from bptt.train.data.task import TrainingTask
from bptt.train.door.limits import Refusal
from bptt.train.errors import (
    DataChangedError,
    FullBatchError,
    OptionError,
    SeveralProcessesError,
)
from bptt.train.extending import (
    extended,
    read_first,
    refuse_other_words,
    taken_over,
)
from bptt.train.finish import finish, has_checkpoint
from bptt.train.fitting import unread
from bptt.train.full_batch import FullBatchSession
from bptt.train.ignored import against_reading_ahead, refuse_ignored
from bptt.train.interrupt import StopOnInterrupt
from bptt.train.model import Model, build_model, refuse_reading_ahead
from bptt.train.optimiser import import_torch
from bptt.train.options import TrainingOptions
from bptt.train.processes import Processes, join_processes
from bptt.train.program import call
from bptt.train.progress import print_line
from bptt.train.reading import reads_of
from bptt.train.report import Report
from bptt.train.run_folder import (
    SavedRun,
    create_run,
    describe_form,
    hold_run,
    read_run,
    refuse_used,
    write_config,
)
from bptt.train.session import Session, Setting
from bptt.train.summary import drop_summary
from bptt.train.threads import one_thread
from bptt.version import __version__

LBFGS = "lbfgs"
LEFT = "All that was learned is saved; what is left to measure, this does"
STOPPING = (
    "Stopping: saving what is learned, then measuring held-out data if they are few; "
    "Ctrl-C again leaves at once."
)


def train(
    data: Data,
    options: TrainingOptions,
    folder: Path,
    console: Console,
    request: DataRequest | None = None,
) -> Report:
    """Train a model on data and leave the result in a run folder.

    Everything that can be refused is refused before the first step. SIGINT ends the run
    after the current window, and `resume` takes it up. Of several processes (torchrun)
    each learns its share of the rows; after a restart of one of them the run goes on
    from its last checkpoint. request: what the data was read from, so that `resume` can
    read it again.
    Raises: the errors of `bptt.train.errors` and of the cell.

    >>> report = train(read_text(), TrainingOptions(), Path("runs/one"), Console())
    ... # doctest: +SKIP
    """
    import_torch()
    import_safetensors()
    processes = join_processes(options.process_timeout)
    try:
        if processes.is_restarted and has_checkpoint(folder, LAST, processes):
            return _resume(folder, console, data, LAST, processes)
        return _train(data, options, folder, console, request, processes)
    finally:
        processes.close()


def resume(
    folder: Path,
    console: Console,
    data: Data | None = None,
    checkpoint: str = LAST,
    epochs: int | None = None,
) -> Report:
    """Take a run up where its checkpoint was written, as if it had never stopped.

    data: the same data again, if it did not come from files; otherwise the files are
    read again from where they were. epochs: so many in all from now on, more than the
    run was begun with; a schedule that falls over the run is that of the longer one.
    Raises: the errors of `read_run`, DataChangedError, and those of `train`;
    OptionError if epochs is not more, or the run's patience is over.
    """
    # A folder that is no run is said before what is not installed.
    silence = read_run(folder, checkpoint).options.process_timeout
    import_torch()
    import_safetensors()
    processes = join_processes(silence)
    try:
        return _resume(folder, console, data, checkpoint, processes, epochs)
    finally:
        processes.close()


def _train(
    data: Data,
    options: TrainingOptions,
    folder: Path,
    console: Console,
    request: DataRequest | None,
    processes: Processes,
) -> Report:
    first = None if options.start is None else read_first(Path(options.start))
    task = make_task(data, options, None if first is None else first.vocabulary)
    if first is not None:
        refuse_unlike(data.source, task.form, first.form)
        refuse_other_words(task, first)
        form = replace(first.form, has_gaps=task.form.has_gaps)
        task = replace(task, form=form)
    model = build_model(options, task.form)
    why = against_reading_ahead(task, data)
    is_cut = task.kind != "sequences" or task.truncation.k1 is not None
    refuse_reading_ahead(model, why, is_cut=is_cut)
    remarks = (*task.remarks, *unread(model.cell))
    task = _with_unit(replace(task, remarks=remarks), model)
    is_full = _is_full_batch(options, task, processes)
    refuse_ignored(options, task, data, model, is_full_batch=is_full)
    made = model.init(task.form, options, "float64" if is_full else "float32")
    if first is not None:
        made = taken_over(made, first, options)
    start = Checkpoint(made)
    setting = Setting(options, task, model, folder, processes)
    run = _session(setting, start)
    with one_thread():
        refuse_limit(model.cell, made, task, options, processes)
    refuse_used(folder)
    processes.wait()  # nobody looks at the folder after the first one has made it
    if processes.is_first:
        config = _config(data, options, task, request)
        create_run(
            folder, model.cell.text, config, task.vocabulary, start, task.tokenised
        )
    processes.wait()
    with _held(folder, processes):
        return _go(run, setting, _shown(console, processes))


def _held(folder: Path, processes: Processes) -> AbstractContextManager[None]:
    """The first process holds the folder for all of them."""
    return hold_run(folder) if processes.is_first else nullcontext()


def _resume(
    folder: Path,
    console: Console,
    data: Data | None,
    checkpoint: str,
    processes: Processes,
    epochs: int | None = None,
) -> Report:
    with _held(folder, processes):
        saved = read_run(folder, checkpoint, to_go_on=True)
        if epochs is not None:
            saved = extended(saved, epochs)
        processes.wait()  # the first one writes the folder once the others have read it
        return _go_on(saved, console, data, checkpoint, processes)


def _go_on(
    saved: SavedRun,
    console: Console,
    data: Data | None,
    checkpoint: str,
    processes: Processes,
) -> Report:
    folder = saved.folder
    data = data or read_again(saved)
    recorded = saved.config.get("data", {})
    if fingerprint(data) != recorded.get("sha256"):
        raise DataChangedError(data.source)
    options, model = saved.options, saved.model
    task = make_task(data, options, saved.vocabulary, saved.tokenised)
    task = _with_unit(task, model)
    setting = Setting(options, task, model, folder, processes)
    try:
        run = _session(setting, saved.checkpoint)
    except Refusal as refusal:
        raise damaged(folder, checkpoint, str(refusal)) from refusal
    if saved.is_extended:
        if run.is_over():
            expected = "a run whose patience is not over, and that can still learn"
            raise OptionError("--epochs", options.epochs, expected)
        if processes.is_first:
            write_config(folder, saved.config)
    shown = _shown(console, processes)
    at, n = run.meter.windows, run.meter.n_windows
    print_line(shown, f"{folder}: going on after window {at:,} of {n:,}")
    return _go(run, setting, shown)


def read_again(saved: SavedRun) -> Data:
    """The data of a run, by the request that it was read with."""
    request = saved.config.get("data", {}).get("request")
    if request is None:
        raise OptionError("--resume", saved.folder, "the run's DATA, which was no file")
    reads = reads_of(saved.model.cell)
    return open_data(replace(DataRequest.from_json(request).as_found(), reads=reads))


def _with_unit(task: TrainingTask, model: Model) -> TrainingTask:
    if task.unit is not None:
        return task
    return replace(task, unit=unit_of(model.loss, per_step=task.form.per_step))


def _is_full_batch(
    options: TrainingOptions, task: TrainingTask, processes: Processes
) -> bool:
    if options.optimiser.lower() != LBFGS or task.kind != "sequences":
        return False
    if processes.size > 1:
        raise SeveralProcessesError("L-BFGS runs in one", "Choose another --optimiser.")
    if options.optimiser_options:
        raise FullBatchError("takes no options")
    return True


def _session(setting: Setting, start: Checkpoint) -> "Session | FullBatchSession":
    if _is_full_batch(setting.options, setting.task, setting.processes):
        return FullBatchSession(setting, start)
    return Session(setting, start)


def _shown(console: Console, processes: Processes) -> Console:
    return console if processes.is_first else Console(quiet=True)


def _go(
    run: "Session | FullBatchSession", setting: Setting, console: Console
) -> Report:
    _announce(setting, run.parameters, console)
    if setting.processes.is_first:
        drop_summary(setting.folder)
    answer = partial(print_line, console, STOPPING, "dim")
    with one_thread():
        with StopOnInterrupt(answer) as stop:
            run.run(console, lambda: stop.requested)
        stopped = stop.requested and not run.is_over()
        try:
            return finish(run, setting, was_interrupted=stopped)
        except KeyboardInterrupt:
            again = call("train", "--resume", setting.folder)
            print_line(console, f"{LEFT}: {again}", "dim")
            raise


def _config(
    data: Data,
    options: TrainingOptions,
    task: TrainingTask,
    request: DataRequest | None,
) -> dict[str, Any]:
    return {
        "options": options.to_json(),
        "data": {
            "kind": task.kind,
            "source": data.source,
            "request": None if request is None else _request(request, data),
            "sha256": fingerprint(data),
            "summary": task.summary,
            "horizon": data.horizon if isinstance(data, SequenceFiles) else None,
            "tokens": task.tokenised.to_json() if task.tokenised else None,
        },
        "form": describe_form(task.form),
        "versions": {
            "bptt": __version__,
            "numpy": np.__version__,
            "torch": import_torch().__version__,
            "python": platform.python_version(),
        },
    }


def _request(request: DataRequest, data: Data) -> dict[str, Any]:
    """A request, and beside it the columns and the words of labels that were found."""
    if isinstance(data, SequenceFiles) and data.is_table:
        table = replace(request.table, classes=data.classes)
        request = replace(request, table=table, found=data.columns)
    return request.to_json()


def _announce(setting: Setting, parameters: Any, console: Console) -> None:
    n_parameters = sum(p.size for p in parameters.values())
    options, task = setting.options, setting.task
    k1, k2 = task.truncation.k1, task.truncation.k2
    if k1 is None:
        windows = "whole sequences"
    elif k1 == k2:
        windows = f"windows of {k1} steps"
    else:
        windows = f"every {k1} steps a gradient through {k2 or 'all'}"
    rows = "streams" if task.kind != "sequences" else "rows"
    together = (
        f", {setting.processes.size} processes" if setting.processes.size > 1 else ""
    )
    print_line(
        console,
        f"{task.summary}\n{options.cell}: {n_parameters:,} parameters, {windows} in "
        f"{options.n_b} {rows}{together}",
    )
    for remark in task.remarks:
        print_line(console, f"warning: {remark}")
