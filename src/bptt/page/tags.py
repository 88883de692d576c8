"""HTML and SVG as strings, escaped in one place.

>>> tag("p", tag("b", "a < b"), class_="x", hidden=True)
'<p class=x hidden><b>a &lt; b</b></p>'
"""

from __future__ import annotations

import functools
import re
from html import escape
from typing import Any

VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "col", "wbr"})
EMPTY = frozenset({"path", "line", "rect", "circle", "use"})  # closed in place, in SVG
# Closed by what follows them, as HTML allows: a page has thousands of cells.
OPEN = frozenset({"td", "th", "tr", "li", "thead", "tbody"})
BARE = re.compile(r"[\w.:#%+\-]+", re.ASCII)


class Markup(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element; `class_`, `data_t` are written class, data-t; None leaves one out."""
    start = name + "".join([_attribute(k, v) for k, v in attributes.items()])
    if name in VOID:
        return Markup(f"<{start}>")
    if name in EMPTY and not children:
        return Markup(f"<{start} />")
    end = "" if name in OPEN else f"</{name}>"
    return Markup(f"<{start}>{join(*children)}{end}")


def join(*parts: Any) -> Markup:
    """Parts one after the other; text is escaped, None is nothing."""
    return Markup("".join([text(part) for part in parts if part is not None]))


def text(value: Any) -> str:
    """A child as HTML."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, list | tuple):
        return join(*value)
    return escape(str(value), quote=False)


@functools.cache
def _spelt(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = _spelt(key)
    if value is True:
        return f" {name}"
    if isinstance(value, float):
        value = number(value)
    shown = str(value)
    # Quotes where HTML needs them: a page has tens of thousands of attributes.
    return (
        f" {name}={shown}" if BARE.fullmatch(shown) else f' {name}="{_quoted(shown)}"'
    )


def _quoted(value: str) -> str:
    """Between double quotes; a ">" may stand there, and names of arrows have one."""
    return escape(value).replace("&gt;", ">")


def number(value: float, digits: int = 1) -> str:
    """A length for SVG, without needless zeros."""
    shown = f"{value:.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
