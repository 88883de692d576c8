"""The options that say what the columns of a table mean."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bptt.cli.parameters import Extra
from bptt.errors import list_known
from bptt.train import OptionError, TableRequest
from bptt.train.data.sequence_files import ERROR
from bptt.train.data.weighting import MASK
from bptt.train.definition import whole
from bptt.train.options import DATA


def _named(name: str, text: str) -> Extra:
    option = typer.Option(metavar="NAME", help=text, show_default=False)
    return Extra(name, Annotated[str | None, option], None, DATA, is_common=False)


TABLE_EXTRAS = (
    Extra(
        "columns",
        Annotated[
            str | None,
            typer.Option(
                metavar="A,B,...",
                help="Columns of a table that are x. [default: all others]",
                show_default=False,
            ),
        ],
        None,
        DATA,
        is_common=False,
    ),
    _named("time", "Column of a table that its rows are sorted by."),
    _named("group", "Column of a table whose every value is a sequence."),
    _named(
        "target", "Column of a table that is y, or several: A,B. [default: a later x]"
    ),
    Extra(
        "horizon",
        Annotated[int, typer.Option(help="How many rows ahead the target lies.")],
        1,
        DATA,
        is_common=False,
    ),
    Extra(
        "missing",
        Annotated[
            str,
            typer.Option(
                metavar="error|mask",
                help="A gap in a table, NaN in sequences. mask: in x the value before "
                "it, and an element of y that is a gap does not count.",
            ),
        ],
        ERROR,
        DATA,
        is_common=False,
    ),
)
DEFAULT = TableRequest()


def table_request(given: Mapping[str, Any], known: TableRequest) -> TableRequest:
    """What the person said of the columns, and what was known before.

    Raises: OptionError.
    """
    columns = known.columns
    if given.get("columns"):
        columns = tuple(name.strip() for name in given["columns"].split(","))
    horizon = given.get("horizon", known.horizon)
    whole(1).check("--horizon", horizon)
    missing = given.get("missing", known.missing)
    if missing not in (ERROR, MASK):
        raise OptionError(
            "--missing", missing, f"one of {list_known(missing, (ERROR, MASK))}"
        )
    names = {n: given.get(n, getattr(known, n)) for n in ("time", "group", "target")}
    return TableRequest(columns, horizon=horizon, missing=missing, **names)
