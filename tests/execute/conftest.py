"""Every test of this room runs in workspaces full of NaN: see `poison`."""

import pytest

from tests.execute.poison import poison_workspaces


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch):
    """What a call reads and nobody wrote shows as NaN, at every call."""
    poison_workspaces(monkeypatch)
