"""Docstrings as the site shows them: examples as blocks of code."""

import re

import griffe

# A doctest: from a prompt to the next empty line.
EXAMPLE = re.compile(r"(?:^>>> .*\n(?:^.+(?:\n|\Z))*)", re.MULTILINE)


class Examples(griffe.Extension):
    """Fences every doctest, so that its prompts are not read as quotations."""

    def on_instance(self, *, obj, **_):
        """Change an object's docstring where it has one."""
        if obj.docstring:
            obj.docstring.value = fence(obj.docstring.value)


def fence(text):
    """Each doctest of a text as a fenced block."""
    return EXAMPLE.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", text)
