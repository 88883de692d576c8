"""The definition of an option: one field with type, default, range, help and group.

The command line, its help, the checks and the table in docs/training.md are made of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from math import inf
from numbers import Integral, Real
from typing import Any

from bptt.errors import MemoryBudgetError, did_you_mean
from bptt.execute.checkpoints import WAYS, read_bytes
from bptt.train.door.limits import MOST_WHOLE
from bptt.train.errors import OptionError

KEY = "option"


@dataclass(frozen=True)
class Range:
    """The values an option may have; expected: in words, for the message.

    words: all of them, where they are words; most: the largest number, which need be
    said of a larger one alone.
    """

    expected: str
    holds: Callable[[Any], bool]
    words: tuple[str, ...] = ()
    most: int | None = None

    def expect(self, value: object) -> str:
        """What was expected instead of a value, with the word that is most like it."""
        if self.most is not None and is_whole(value) and value > self.most:  # type: ignore[operator]
            return f"{self.expected} to {self.most:,}"
        return self.expected + did_you_mean(value, self.words)

    def check(self, flag: str, value: object) -> None:
        """Hold an option's value to it. Raises: OptionError."""
        if not self.holds(value):
            raise OptionError(flag, value, self.expect(value))


def whole(low: int, most: int = MOST_WHOLE) -> Range:
    """Whole numbers from `low` to `most`."""
    return Range(
        f"a whole number from {low}",
        lambda value: is_whole(value) and low <= value <= most,
        most=most,
    )


def number(expected: str, holds: Callable[[float], bool]) -> Range:
    """Real numbers for which `holds`, NaN never."""
    return Range(expected, lambda value: _is_real(value) and bool(holds(value)))


ABOVE_0 = number("a number above 0", lambda value: 0 < value < inf)
FROM_0 = number("a number from 0", lambda value: 0 <= value < inf)
# What an optimiser multiplies float32 parameters by.
FLOAT32 = number("a number from 0 to 3.4e38", lambda value: 0 <= value <= 3.4e38)
LIMIT = number("a number above 0, or inf for no clipping", lambda value: value > 0)
RATE = number("a rate from 0 to below 1", lambda value: 0 <= value < 1)
FRACTION = number("a fraction between 0 and 1", lambda value: 0 < value < 1)
FRACTION_OR_0 = number("a fraction from 0 to below 1", lambda value: 0 <= value < 1)
FINITE = number("a finite number", lambda value: -inf < value < inf)
SWITCH = Range("true or false", lambda value: isinstance(value, bool))


def one_of(*words: str) -> Range:
    """One of some words."""
    return Range(f"one of {', '.join(words)}", lambda value: value in words, words)


def _is_bytes(value: object) -> bool:
    try:
        return read_bytes(value) > 0
    except MemoryBudgetError:
        return False


BYTES = Range("a number of bytes, such as 512MB or 1.5GiB", _is_bytes)


def _is_states(value: object) -> bool:
    text = str(value)
    return text in WAYS or (text.isascii() and text.isdigit() and int(text) > 0)


STATES = Range("a whole number from 1, sqrt or optimal", _is_states, WAYS)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, and no truth."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Option:
    """What a field says of itself besides type and default.

    help: one sentence; group: the heading it stands under; within: its range, which
    None passes where None is the default, and every value of a mapping is held to;
    flags: on the command line, the field's own name where empty; is_common: whether
    the short help shows it; otherwise: the default in words, where it must be; read:
    of an option NAME=VALUE that may be repeated, the name and value of its text.
    """

    help: str
    group: str
    within: Range | None = None
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    is_common: bool = False
    otherwise: str | None = None
    read: Callable[[str], tuple[str, Any]] | None = None


@dataclass(frozen=True)
class Defined:
    """One option of a class of options: its field's name, default and definition."""

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def flags(self) -> tuple[str, ...]:
        """How it is written on the command line, the usual form first."""
        return self.option.flags or ("--" + self.name.replace("_", "-"),)

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off, and has no value on the command line."""
        return self.option.within is SWITCH

    @property
    def shown_default(self) -> str:
        """The default in words; nothing where there is none to speak of."""
        if self.option.otherwise is not None:
            return self.option.otherwise
        if self.default is None or self.default is False or self.default == {}:
            return ""
        is_number = isinstance(self.default, float)
        return f"{self.default:g}" if is_number else f"{self.default}"

    def check(self, value: Any) -> None:
        """Hold a value to the range. Raises: OptionError."""
        within, flag = self.option.within, self.flags[0]
        if within is None or (value is None and self.default is None):
            return
        if self.option.read is None:
            within.check(flag, value)
            return
        for name, one in value.items():
            within.check(f"{flag} {name}", one)


def option(default: Any, help: str, group: str, **more: Any) -> Any:  # noqa: A002
    """A field of a class of options; `more`: further fields of `Option`."""
    metadata = {KEY: Option(help, group, **more)}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def defined(owner: Any) -> Iterator[Defined]:
    """The options of a dataclass, in its order."""
    for one in fields(owner):
        default = {} if one.default is MISSING else one.default
        yield Defined(one.name, one.type, default, one.metadata[KEY])


def changed(options: Any) -> dict[str, Defined]:
    """The options that differ from their defaults, by name."""
    every = defined(options)
    return {o.name: o for o in every if getattr(options, o.name) != o.default}


def as_markdown(groups: Mapping[str, Sequence[Defined]]) -> str:
    """The options as a table of Markdown, a heading row per group."""
    lines = ["| option | default | range | what it does |", "|---|---|---|---|"]
    for group, options in groups.items():
        lines.append(f"| **{group}** | | | |")
        for one in options:
            flags = " or ".join(f"`{flag}`" for flag in one.flags)
            value = f" `{one.option.metavar}`" if one.option.metavar else ""
            within = one.option.within.expected if one.option.within else ""
            within = "" if one.is_switch else within  # a switch says itself
            lines.append(
                f"| {flags}{value} | {one.shown_default} | {within} | "
                f"{one.option.help} |"
            )
    return "\n".join(lines) + "\n"


def grouped(owner: Any) -> dict[str, list[Defined]]:
    """The options of a dataclass by group, in the order in which groups begin."""
    found: dict[str, list[Defined]] = {}
    for one in defined(owner):
        found.setdefault(one.option.group, []).append(one)
    return found
