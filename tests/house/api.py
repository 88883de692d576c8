"""The API as text: a line per public name with its parameters, and per public method.

python -m tests.house.api      writes tests/house/api.txt
"""

import importlib
import inspect
from pathlib import Path

FILE = Path(__file__).with_name("api.txt")
MODULES = ("bptt", "bptt.torch", "bptt.jax", "bptt.train")


def parameters(thing):
    """Names of parameters, with / and *; types and defaults may change freely."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    shown, starred = [], False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        prefix = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        starred |= parameter.kind is parameter.VAR_POSITIONAL
        shown.append(prefix.get(parameter.kind, "") + name)
    return f"({', '.join(shown)})"


def members(owner):
    """Public attributes that the project defines, by name."""
    for name in sorted(dir(owner)):
        if name.startswith("_"):
            continue
        value = inspect.getattr_static(owner, name)
        module = getattr(
            inspect.unwrap(getattr(value, "__func__", value)), "__module__", ""
        )
        if isinstance(value, property):
            module = getattr(value.fget, "__module__", "")
        if str(module).startswith("bptt"):
            is_called = callable(getattr(value, "__func__", value))
            yield name, parameters(getattr(owner, name)) if is_called else ""


def describe(modules=MODULES):
    """The API of the modules that are installed, a line each."""
    lines = []
    for module_name in modules:
        module = importlib.import_module(module_name)
        for name in sorted(module.__all__):
            thing = getattr(module, name)
            is_callable = callable(thing)
            lines.append(
                f"{module_name}.{name}{parameters(thing) if is_callable else ''}"
            )
            if inspect.isclass(thing):
                lines += [f"{module_name}.{name}.{m}{p}" for m, p in members(thing)]
    return lines


def main():
    """Write the list."""
    FILE.write_text("\n".join(describe()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
