"""The page's own style and script, and KaTeX with its fonts, as text to inline."""

from __future__ import annotations

import base64
import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

# Loaded in this order; each file adds to the one object `B`.
SCRIPTS = (
    "core.js", "matrix.js", "symbols.js", "graph.js", "cards.js", "formula.js",
    "evaluate.js", "lab.js", "main.js",
)  # fmt: skip
_FACE = re.compile(r"@font-face\{[^}]*\}")
_FONT = re.compile(r"url\(fonts/([\w-]+)\.woff2\)")


def _folder() -> Traversable:
    return resources.files(__name__.rpartition(".")[0])


def _read(*parts: str) -> str:
    return _folder().joinpath(*parts).read_text("utf-8")


@cache
def style() -> str:
    """The page's style sheet."""
    return _read("static", "page.css")


@cache
def script() -> str:
    """The page's script."""
    return "\n".join(_read("static", name) for name in SCRIPTS)


@cache
def katex_script() -> str:
    """KaTeX; safe inside a script element."""
    return _read("vendor", "katex", "katex.min.js").replace("</script", r"<\/script")


@cache
def katex_style() -> str:
    """KaTeX's style sheet; each font vendored here inside it, no other mentioned."""
    return _FACE.sub(_inline_face, _read("vendor", "katex", "katex.min.css"))


def _inline_face(match: re.Match[str]) -> str:
    face = match.group()
    font = _FONT.search(face)
    assert font is not None, face
    file = _folder().joinpath("vendor", "katex", "fonts", f"{font.group(1)}.woff2")
    if not file.is_file():
        return ""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    source = f"src:url(data:font/woff2;base64,{data}) format('woff2')"
    return re.sub(r"src:[^}]*", source, face)
