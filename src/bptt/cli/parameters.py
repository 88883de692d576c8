"""Parameters of a command made from a class of options, and their help in groups."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand

from bptt.train import Defined, defined

SHOWS_ALL = "bptt.shows_all"


@dataclass(frozen=True)
class Extra:
    """A parameter that is no option of the class: its type, default, and place.

    annotation: as Typer reads it; group: the heading it stands under; is_common:
    whether the short help shows it.
    """

    name: str
    annotation: Any
    default: Any
    group: str
    is_common: bool = True


def _show_all(ctx: typer.Context, is_asked: bool) -> None:
    if is_asked:
        ctx.meta[SHOWS_ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


HELP_ALL = Extra(
    "help_all",
    Annotated[
        bool,
        typer.Option(
            "--help-all", callback=_show_all, is_eager=True,
            help="Show every option and exit.", show_default=False,
        ),
    ],
    False,
    "Help",
)  # fmt: skip


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _of_option(one: Defined) -> inspect.Parameter:
    kind, default, flags = one.type, one.default, one.flags
    if one.option.read is not None:
        kind, default = list[str] | None, None
    elif one.is_switch:
        flags = (f"{flags[0]}/--no-{flags[0][2:]}",)
    elif not isinstance(kind, type | UnionType) or get_args(kind) == ():
        kind = type(default)
    shown = f" [default: {one.shown_default}]" if one.shown_default else ""
    option = typer.Option(
        *flags,
        help=one.option.help + shown,
        metavar=one.option.metavar,
        show_default=False,
    )
    return _parameter(one.name, Annotated[kind, option], default)


def with_options(
    owner: Any, extras: Iterable[Extra]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `f(ctx, **given)` a parameter per option and per extra.

    Typer reads the parameters of a function from its signature.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        context = _parameter("ctx", typer.Context, inspect.Parameter.empty)
        options = map(_of_option, defined(owner))
        others = [_parameter(e.name, e.annotation, e.default) for e in extras]
        every = [context, *others, *options]
        command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in every}
        return command

    return decorate


def given_in(ctx: typer.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the person wrote, by name; the others are defaults.

    For click 8.1 an argument that takes any number of words was written with none.
    """
    found = {}
    for name, value in values.items():
        source = ctx.get_parameter_source(name)
        is_written = source is not None and source.name == "COMMANDLINE"
        if is_written and value not in (None, [], ()):
            found[name] = value
    return found


def read_options(owner: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options among what was given, those of the form NAME=VALUE read.

    Raises: OptionError.
    """
    found = {}
    for one in defined(owner):
        if one.name in given:
            value, read = given[one.name], one.option.read
            found[one.name] = value if read is None else dict(map(read, value))
    return found


def _one_spelling(written: str) -> str:
    """An option as the short help shows it: `--a, --b <int>` is `--a <int>`."""
    first, *others = written.split(", ")
    kind = others[-1].partition(" ")[1:] if others else ()
    return first.partition(" <list")[0] + "".join(kind)


def grouped_command(
    owner: Any, extras: Iterable[Extra], groups: Sequence[str]
) -> type[TyperCommand]:
    """A class of commands whose help has the headings of the options, in order."""
    places = {e.name: (e.group, e.is_common) for e in extras}
    places |= {o.name: (o.option.group, o.option.is_common) for o in defined(owner)}

    class Grouped(TyperCommand):
        """A command whose help shows common options, and all with --help-all."""

        def format_options(self, ctx: Any, formatter: Any) -> None:
            """Write the options, heading by heading."""
            shows_all = ctx.meta.get(SHOWS_ALL, False)
            found: dict[str, list[tuple[str, str]]] = {group: [] for group in groups}
            for parameter in self.get_params(ctx):
                group, is_common = places.get(str(parameter.name), ("Help", True))
                record = parameter.get_help_record(ctx)
                if record and (is_common or shows_all):
                    written, text = record
                    shown = written if shows_all else _one_spelling(written)
                    found[group].append((shown, text))
            for group, records in found.items():
                if records:
                    with formatter.section(group):
                        formatter.write_dl(records)

    return Grouped
