"""`bptt train`: a model of text, tokens or sequences; and a run taken up again."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bptt.cli.columns import TABLE_EXTRAS, table_request
from bptt.cli.output import print_json
from bptt.cli.parameters import (
    HELP_ALL,
    Extra,
    given_in,
    grouped_command,
    read_options,
    with_options,
)
from bptt.errors import FlowError, list_known
from bptt.train import (
    BEST,
    LAST,
    STANDARD_LIBRARY_CHARACTERS,
    DataRequest,
    IgnoredOptionError,
    OptionError,
    Report,
    RunConfig,
    SeveralProcessesError,
    TrainingOptions,
    has_several_processes,
    is_first_process,
    open_data,
    parse_split,
    print_report,
    read_run_config,
    read_summary,
    reads_of,
)
from bptt.train import resume as resume_run
from bptt.train import train as train_model
from bptt.train.data.opening import Data
from bptt.train.data.sequence_files import SEQUENCE, STEP
from bptt.train.definition import whole
from bptt.train.errors import FolderNotWritableError
from bptt.train.flow_report import write_flows
from bptt.train.options import DATA, GROUPS, PARTS, RUN
from bptt.train.predicting import read_like
from bptt.train.progress import print_line

INTERRUPTED = 130  # 128 + SIGINT: what shells expect of a command stopped by Ctrl-C
CHECKPOINTS = (LAST, BEST)

EXTRAS = (
    Extra(
        "data",
        Annotated[
            list[Path] | None,
            typer.Argument(
                metavar="DATA",
                help="Text files or folders; tables (.csv, .tsv, .parquet); .npz or "
                ".safetensors files of sequences; a .npy file of tokens. Without: the "
                "source of Python's library.",
            ),
        ],
        None,
        DATA,
    ),
    Extra(
        "pattern",
        Annotated[
            str, typer.Option(help="Which files of a folder to read, such as '*.txt'.")
        ],
        "*",
        DATA,
        is_common=False,
    ),
    Extra(
        "limit",
        Annotated[
            int | None,
            typer.Option(
                help="Read at most so many characters of text. [default: "
                f"{STANDARD_LIBRARY_CHARACTERS} without DATA, else all]",
                show_default=False,
            ),
        ],
        None,
        DATA,
        is_common=False,
    ),
    Extra(
        "per",
        Annotated[
            str | None,
            typer.Option(
                metavar="step|sequence",
                help="What each y of sequences belongs to, where its shape could mean "
                "both. [default: a step]",
                show_default=False,
            ),
        ],
        None,
        DATA,
        is_common=False,
    ),
    *TABLE_EXTRAS,
    Extra(
        "config",
        Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="Options from a .toml file or a run folder; those given here "
                "come first.",
                show_default=False,
            ),
        ],
        None,
        RUN,
    ),
    Extra(
        "out",
        Annotated[
            Path | None,
            typer.Option(
                metavar="RUN",
                help="Folder for the result. [default: runs/ and the time]",
                show_default=False,
            ),
        ],
        None,
        RUN,
    ),
    Extra(
        "resume",
        Annotated[
            Path | None,
            typer.Option(
                metavar="RUN",
                help="Go on with a run; its options hold, or more --epochs.",
                show_default=False,
            ),
        ],
        None,
        RUN,
    ),
    Extra(
        "split",
        Annotated[
            str | None,
            typer.Option(
                metavar="A,B[,C]",
                help="Fractions for training, validation and test, instead of "
                "--held-out and --test.",
                show_default=False,
            ),
        ],
        None,
        PARTS,
    ),
    Extra(
        "json",
        Annotated[
            bool,
            typer.Option("--json", help="Print summary.json; the rest to stderr."),
        ],
        False,
        RUN,
        is_common=False,
    ),
    HELP_ALL,
)
GROUPED = grouped_command(TrainingOptions, EXTRAS, GROUPS)
WITH_RESUME = (
    "data", "pattern", "limit", "resume", "checkpoint", "json", "epochs",
)  # fmt: skip


@with_options(TrainingOptions, EXTRAS)
def train(ctx: typer.Context, **values: Any) -> None:
    """Train a model and keep it in a folder.

    Without DATA the text is the source of Python's standard library, which every
    machine with Python has. Ctrl-C ends the run early, with everything saved; --resume
    goes on with it, also after a crash.
    """
    console = Console(stderr=values["json"])
    given = given_in(ctx, values)
    if values["resume"] is not None:
        report, data = _resume(given, values, console)
        _end(report, console, data, as_json=values["json"])
        return
    if values["checkpoint"] in CHECKPOINTS:
        why = f"{values['checkpoint']} says where --resume begins"
        raise IgnoredOptionError("--checkpoint", why)
    config = RunConfig()
    if values["config"] is not None:
        config = read_run_config(values["config"])
    options = TrainingOptions(**{**config.options, **_options(given)})
    request = _request(given, config.request)
    request = replace(request, reads=reads_of(options.cell))
    out = values["out"] or config.out or _default_folder()
    data = open_data(request)
    report = train_model(data, options, out, console, request)
    _end(report, console, data, as_json=values["json"])


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    found = read_options(TrainingOptions, given)
    if "split" in given:
        for name in ("held_out", "test"):
            if name in given:
                flag = "--" + name.replace("_", "-")
                raise IgnoredOptionError(flag, "--split names all the fractions")
        found["held_out"], found["test"] = parse_split(given["split"])
    return found


def _request(given: Mapping[str, Any], known: DataRequest | None) -> DataRequest:
    known = known or DataRequest()
    paths = tuple(given.get("data") or known.paths)
    limit = given.get("limit", known.limit)
    if limit is not None:
        whole(1).check("--limit", limit)
    pattern = given.get("pattern", known.pattern)
    per = given.get("per", known.per)
    if per not in (None, STEP, SEQUENCE):
        raise OptionError("--per", per, f"one of {STEP}, {SEQUENCE}")
    table = table_request(given, known.table)
    return DataRequest(paths, pattern, limit, table, per).with_limit()


def _resume(
    given: Mapping[str, Any], values: Mapping[str, Any], console: Console
) -> tuple[Report, Data | None]:
    for name in given:
        if name not in WITH_RESUME:
            flag = "--" + name.replace("_", "-")
            raise IgnoredOptionError(flag, "a run that goes on keeps its own options")
    checkpoint = values["checkpoint"] or LAST
    if checkpoint not in CHECKPOINTS:
        raise OptionError(
            "--checkpoint", checkpoint, f"one of {list_known(checkpoint, CHECKPOINTS)}"
        )
    data = None
    if "data" in given:
        data = open_data(read_like(values["resume"], _request(given, None)))
    epochs = given.get("epochs")
    report = resume_run(values["resume"], console, data, checkpoint, epochs)
    return report, data


def _end(report: Report, console: Console, data: Data | None, *, as_json: bool) -> None:
    if is_first_process():
        print_report(report, console)
        if not report.was_interrupted:
            print_line(console, _flow(report.folder, data))
        if as_json:
            print_json(read_summary(report.folder).content)
    if report.was_interrupted:
        sys.exit(INTERRUPTED)  # not typer.Exit: what there is to say has been said


def _flow(folder: Path, data: Data | None) -> str:
    """The last verdict on the gradients, or why there is none: the run is done."""
    try:
        return f"gradients: {write_flows(folder, data)['last'].verdict}"
    except (FlowError, FolderNotWritableError, OptionError) as error:
        return f"gradients: not measured: {error}"


def _default_folder() -> Path:
    if has_several_processes():
        raise SeveralProcessesError(
            "each would take a folder of its own", "Name one with --out."
        )
    return Path("runs", datetime.now().astimezone().strftime("%Y-%m-%dT%H-%M-%S"))
