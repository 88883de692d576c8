"""`bptt train`: a model of text, tokens or sequences; and a run taken up again."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bptt.train import (
    BEST,
    LAST,
    SCHEDULES,
    STANDARD_LIBRARY_CHARACTERS,
    DataRequest,
    OptionError,
    Report,
    SeveralProcessesError,
    TrainingOptions,
    has_several_processes,
    is_first_process,
    open_data,
    parse_optimiser_option,
    parse_scheduler_option,
    parse_size,
    parse_split,
    print_report,
)
from bptt.train import resume as resume_run
from bptt.train import train as train_model

INTERRUPTED = 130  # 128 + SIGINT: what shells expect of a command stopped by Ctrl-C
DEFAULTS = TrainingOptions()
CHECKPOINTS = (LAST, BEST)

Data = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DATA",
        help="Text files or folders; one .npy file of tokens; .npz or .safetensors "
        "files of sequences, or a folder of them. Without: the source of Python's "
        "library.",
    ),
]
Pattern = Annotated[
    str, typer.Option(help="Which files of a folder to read, for example '*.txt'.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="Read at most so many characters. "
        f"[default: {STANDARD_LIBRARY_CHARACTERS} without DATA, else all]",
        show_default=False,
    ),
]
CellOption = Annotated[
    str, typer.Option("--cell", help="A built-in cell or a file of equations.")
]
SizeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--size", metavar="NAME=N", help="Size of one dimension; may be repeated."
    ),
]
Tau = Annotated[
    int | None,
    typer.Option(
        help="Steps per window: how far gradients go back. [default: 32; sequences: "
        "the whole]",
        show_default=False,
    ),
]
K1 = Annotated[
    int | None, typer.Option(help="Steps between two gradients. [default: tau]")
]
K2 = Annotated[
    int | None,
    typer.Option(help="Steps a gradient goes back, at least k1. [default: tau]"),
]
OptimiserOption = Annotated[
    str,
    typer.Option(
        "--optimiser",
        "--optimizer",
        help="Any optimiser of torch.optim that takes dense gradients; lbfgs for all "
        "sequences at once.",
    ),
]
OptimiserOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--optimiser-option",
        "--optimizer-option",
        metavar="NAME=VALUE",
        help="One of its options, such as momentum=0.9; may be repeated.",
    ),
]
ScheduleOption = Annotated[
    str,
    typer.Option(
        "--schedule",
        "--scheduler",
        help=f"Learning rate over time: {' or '.join(SCHEDULES)}, or a scheduler of "
        "torch.optim.lr_scheduler.",
    ),
]
SchedulerOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--scheduler-option",
        metavar="NAME=VALUE",
        help="One of its options, such as step_size=5; may be repeated.",
    ),
]
SchedulerStep = Annotated[
    str | None,
    typer.Option(
        help="When it moves: window, epoch or validation. [default: as suits it]",
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="A,B[,C]",
        help="Fractions for training, validation and test, instead of --held-out.",
        show_default=False,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Go on with a run that was stopped; its own options hold.",
        show_default=False,
    ),
]
Every = Annotated[
    int | None,
    typer.Option(
        help="Windows between checkpoints. [default: once a minute]",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the result. [default: runs/ and the time]", show_default=False
    ),
]


def train(
    data: Data = None,
    *,
    cell: CellOption = DEFAULTS.cell,
    n_h: Annotated[int, typer.Option(help="Hidden size.")] = DEFAULTS.n_h,
    size: SizeOption = None,
    layers: Annotated[
        int, typer.Option(help="Layers on top of each other.")
    ] = DEFAULTS.layers,
    residual: Annotated[
        bool, typer.Option("--residual", help="Add a layer's input to its output.")
    ] = False,
    dropout: Annotated[
        float, typer.Option(help="Rate of dropout between layers.")
    ] = DEFAULTS.dropout,
    recurrent_dropout: Annotated[
        float, typer.Option(help="Rate of a mask on h[t-1], one per window.")
    ] = DEFAULTS.recurrent_dropout,
    zoneout: Annotated[
        float, typer.Option(help="Rate at which states keep their old value.")
    ] = DEFAULTS.zoneout,
    tau: Tau = None,
    k1: K1 = None,
    k2: K2 = None,
    n_b: Annotated[
        int, typer.Option(help="Parallel streams, or sequences in a batch.")
    ] = DEFAULTS.n_b,
    epochs: Annotated[
        int, typer.Option(help="Times to read it all; iterations of lbfgs.")
    ] = DEFAULTS.epochs,
    optimiser: OptimiserOption = DEFAULTS.optimiser,
    optimiser_option: OptimiserOptions = None,
    learning_rate: Annotated[
        float, typer.Option(help="The highest learning rate.")
    ] = DEFAULTS.learning_rate,
    schedule: ScheduleOption = DEFAULTS.schedule,
    scheduler_option: SchedulerOptions = None,
    scheduler_step: SchedulerStep = None,
    clip: Annotated[
        float, typer.Option(help="Limit of the gradient's global norm; inf for none.")
    ] = DEFAULTS.clip,
    clip_value: Annotated[
        float, typer.Option(help="Limit of each of its elements; inf for none.")
    ] = DEFAULTS.clip_value,
    weight_decay: Annotated[
        float, typer.Option(help="The optimiser's weight decay.")
    ] = DEFAULTS.weight_decay,
    held_out: Annotated[
        float, typer.Option(help="Fraction of the data kept for validation.")
    ] = DEFAULTS.held_out,
    split: Split = None,
    validations: Annotated[
        int, typer.Option(help="Validations per epoch.")
    ] = DEFAULTS.validations,
    patience: Annotated[
        int, typer.Option(help="Stop after so many validations without gain; 0: never.")
    ] = DEFAULTS.patience,
    on_nonfinite: Annotated[
        str, typer.Option(help="At infinity or NaN: stop, or skip the window.")
    ] = DEFAULTS.on_nonfinite,
    pattern: Pattern = "*",
    limit: Limit = None,
    seed: Annotated[
        int, typer.Option(help="Seed of parameters, order and sample.")
    ] = 0,
    out: Out = None,
    resume: Resume = None,
    checkpoint: Annotated[
        str, typer.Option(help="With --resume: last or best.")
    ] = LAST,
    checkpoint_every: Every = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard files.")
    ] = False,
) -> None:
    """Train a model and keep it in a folder.

    Without DATA the text is the source of Python's standard library, which every
    machine with Python has. Ctrl-C ends the run early, with everything saved; --resume
    goes on with it, also after a crash.
    """
    console = Console()
    paths = tuple(data or ())
    request = DataRequest(paths, pattern, _limit(limit, paths))
    if resume is not None:
        _end(_resume(resume, request, checkpoint, console), console)
        return
    held, test = (held_out, 0.0) if split is None else parse_split(split)
    options = TrainingOptions(
        cell=cell,
        layers=layers,
        residual=residual,
        dropout=dropout,
        recurrent_dropout=recurrent_dropout,
        zoneout=zoneout,
        n_h=n_h,
        n_b=n_b,
        tau=tau,
        k1=k1,
        k2=k2,
        epochs=epochs,
        optimiser=optimiser,
        optimiser_options=dict(map(parse_optimiser_option, optimiser_option or ())),
        learning_rate=learning_rate,
        schedule=schedule,
        scheduler_options=dict(map(parse_scheduler_option, scheduler_option or ())),
        scheduler_step=scheduler_step,
        clip=clip,
        clip_value=clip_value,
        weight_decay=weight_decay,
        held_out=held,
        test=test,
        validations=validations,
        patience=patience,
        on_nonfinite=on_nonfinite,
        checkpoint_every=checkpoint_every,
        tensorboard=tensorboard,
        seed=seed,
        sizes=dict(map(parse_size, size or ())),
    )
    _end(_begin(request, options, out, console), console)


def _begin(
    request: DataRequest, options: TrainingOptions, out: Path | None, console: Console
) -> Report:
    data = open_data(request)
    return train_model(data, options, out or _default_folder(), console, request)


def _resume(
    run: Path, request: DataRequest, checkpoint: str, console: Console
) -> Report:
    if checkpoint not in CHECKPOINTS:
        raise OptionError(
            "--checkpoint", checkpoint, f"one of {', '.join(CHECKPOINTS)}"
        )
    data = open_data(request) if request.paths else None
    return resume_run(run, console, data, checkpoint)


def _end(report: Report, console: Console) -> None:
    if is_first_process():
        print_report(report, console)
    if report.was_interrupted:
        raise typer.Exit(INTERRUPTED)


def _limit(limit: int | None, paths: tuple[Path, ...]) -> int | None:
    if limit is not None and limit < 1:
        raise OptionError("--limit", limit, "a whole number from 1")
    if limit is None and not paths:
        return STANDARD_LIBRARY_CHARACTERS
    return limit


def _default_folder() -> Path:
    if has_several_processes():
        raise SeveralProcessesError(
            "each would take a folder of its own", "Name one with --out."
        )
    return Path("runs", datetime.now().astimezone().strftime("%Y-%m-%dT%H-%M-%S"))
