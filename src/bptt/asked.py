"""Results by name, made when someone reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bptt import errors


class Asked(Mapping[str, Any]):
    """Results by name, read when asked for; a clear error for what was not."""

    def __init__(
        self, kind: str, option: str, names: tuple[str, ...], read: Callable[[str], Any]
    ) -> None:
        """read: makes a result; kind and option: what a message calls it."""
        self._kind, self._option, self._names, self._read = kind, option, names, read

    def __getitem__(self, name: str) -> Any:
        """A result. Raises: UnknownNodeError."""
        if name in self._names:
            return self._read(name)
        hint = {
            "nodes": f"; ask for it: gradient(..., nodes=({name!r},))",
            "inputs": "; ask for it: gradient(..., input_gradient=True)",
            "initial": "; ask for it: gradient(..., initial_gradient=True)",
        }.get(self._option, "")
        raise errors.UnknownNodeError(
            f"no gradient of {self._kind} {name} here{hint}; there are: "
            f"{errors.list_known(name, self._names)}"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{self._kind}s: {', '.join(self._names) or 'none'}>"
