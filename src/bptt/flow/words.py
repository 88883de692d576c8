"""The sentences of a flow in every language: `strings/LANG.toml`, with numbers."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from bptt import errors

LANGUAGES = ("en", "zh")


def say(key: str, lang: str = "en", **fields: Any) -> str:
    """A sentence by "section.key", its places filled.

    Raises: FlowError.
    """
    section, _, name = key.partition(".")
    sentence: str = table(lang)[section][name]
    return sentence.format_map(dict(fields))


@cache
def table(lang: str) -> Mapping[str, Mapping[str, str]]:
    """All sentences of a language. Raises: FlowError."""
    if lang not in LANGUAGES:
        raise errors.FlowError(
            f"language {lang!r}: a flow is written in {' and '.join(LANGUAGES)}"
        )
    file = resources.files("bptt.flow") / "strings" / f"{lang}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def power(log: float, digits: int = 2) -> str:
    """e to a number as a decimal one, whatever its size: 0.024, 3.1e-412."""
    if math.isnan(log):
        return "-"
    if log == -math.inf:
        return "0"
    if abs(log) < 600:
        short = f"{math.exp(log):.{digits}g}"
        # 190, where %g would write 1.9e+02
        return f"{float(short):.0f}" if 99 < float(short) < 99_999 else short
    exponent = math.floor(log / math.log(10))
    lead = math.exp(log - exponent * math.log(10))
    return f"{lead:.1f}e{exponent:+d}"
