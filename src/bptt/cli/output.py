"""Results for another program: JSON on the standard output, and nothing else there."""

import json
from collections.abc import Mapping
from typing import Any

import typer


def print_json(content: Mapping[str, Any]) -> None:
    """Print an object of JSON."""
    typer.echo(json.dumps(content, indent=1, allow_nan=False))
