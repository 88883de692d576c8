"""Options of the form NAME=VALUE, and `--split`, read from text."""

from collections.abc import Sequence

from bptt.train.errors import OptionError

OptionValue = int | float | bool | tuple[int | float, ...]


def parse_assignment(option: str, text: str) -> tuple[str, str]:
    """Split NAME=VALUE of a repeatable option.

    Raises: OptionError if there is no name or no value.
    """
    name, sign, value = text.partition("=")
    if not (sign and name.strip() and value.strip()):
        raise OptionError(option, text, "NAME=VALUE")
    return name.strip(), value.strip()


def parse_size(text: str) -> tuple[str, int]:
    """Read `--size n_k=32`.

    Raises: OptionError if the value is not a whole number.
    """
    name, value = parse_assignment("--size", text)
    if not value.isdecimal():
        raise OptionError("--size", text, "NAME=NUMBER, for example n_k=32")
    return name, int(value)


def parse_optimiser_option(text: str) -> tuple[str, OptionValue]:
    """Read `--optimiser-option momentum=0.9`, `nesterov=true` or `betas=0.9,0.99`.

    Raises: OptionError if the value is neither a number, numbers, true nor false.
    """
    option = "--optimiser-option"
    name, value = parse_assignment(option, text)
    parsed = _parse_value(value)
    if isinstance(parsed, str):
        expected = "NAME= a number, numbers with commas, true or false"
        raise OptionError(option, text, expected)
    return name, parsed


def parse_scheduler_option(text: str) -> tuple[str, OptionValue | str]:
    """Read `--scheduler-option step_size=5`; a value may also be a word, `mode=max`.

    Raises: OptionError if there is no name or no value.
    """
    name, value = parse_assignment("--scheduler-option", text)
    return name, _parse_value(value)


def _parse_value(value: str) -> OptionValue | str:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        numbers = tuple(map(_parse_number, value.split(",")))
    except ValueError:
        return value
    return numbers[0] if len(numbers) == 1 else numbers


def _parse_number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def parse_split(text: str) -> tuple[float, float]:
    """Read `--split 0.8,0.1,0.1` (or two fractions): held-out and test fraction.

    Raises: OptionError unless the fractions are two or three and their sum is 1.
    """
    parsed = _parse_value(text)
    return check_split(parsed if isinstance(parsed, tuple) else (), text)


def check_split(parts: Sequence[float], text: str = "") -> tuple[float, float]:
    """The held-out and the test fraction of two or three that make 1.

    Raises: OptionError.
    """
    if len(parts) not in (2, 3) or abs(sum(parts) - 1) > 1e-6 or min(parts) < 0:
        expected = "TRAINING,VALIDATION or TRAINING,VALIDATION,TEST with sum 1"
        raise OptionError("--split", text or list(parts), expected)
    return parts[1], (*parts, 0.0)[2]
