"""What the page itself says, beside the explanation: buttons, captions, legends.

Every entry is written in both languages; `word` puts both into the page and the switch
shows one. Sentences of the explanation are not here but in `bptt.explain.strings`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from bptt.explain.html.held import fill
from bptt.explain.model import LANGUAGES
from bptt.page.tags import Markup, join, tag, text


@cache
def words() -> dict[str, tuple[str, ...]]:
    """Every entry by its id, in the order of `LANGUAGES`."""
    file = resources.files(__name__.rpartition(".")[0]).joinpath("words.toml")
    table = tomllib.loads(file.read_text("utf-8"))
    return {
        key: tuple(entry[lang] for lang in LANGUAGES) for key, entry in table.items()
    }


def word(key: str, **fields: Any) -> Markup:
    """An entry in both languages, its {fields} filled in."""
    return both(*(fill(part, fields) for part in words()[key]))


def plain(key: str, **fields: Any) -> dict[str, str]:
    """An entry as plain text by language, for the script and for titles."""
    shown = (part.format(**fields) if fields else part for part in words()[key])
    return dict(zip(LANGUAGES, shown, strict=True))


def both(en: Any, zh: Any) -> Markup:
    """The same in two languages; once where both say it with the same signs."""
    if text(en) == text(zh):
        return join(en)
    return join(tag("span", en, lang="en"), tag("span", zh, lang="zh"))
