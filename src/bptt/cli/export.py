"""`bptt export`: a trained model for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from bptt.cli.output import say
from bptt.errors import list_known
from bptt.train import OptionError, export_run

KINDS = {".onnx": "onnx", ".h": "c", ".safetensors": "torch"}


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A folder that `bptt train` wrote.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="model.onnx; model.h, the step as C without any library; or "
            "model.safetensors, a torch state_dict.",
        ),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(help="best or last. [default: best]", show_default=False),
    ] = None,
) -> None:
    """Write a trained model as ONNX, as C, or as a torch state_dict.

    The name of FILE says which. Each gives what `predict` gives, in float32.
    """
    kind = KINDS.get(out.suffix)
    if kind is None:
        ends = list_known(out.suffix, KINDS)
        raise OptionError("FILE", out, f"a name that ends in {ends}")
    export_run(run, out, kind, checkpoint)
    say(f"written: {out}")
