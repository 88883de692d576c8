"""What other tests here say of themselves: that nothing is compiled for them."""

import pytest

from bptt.execute.compile import compiler
from bptt.execute.dispatch import REFERENCE
from bptt.train import TrainingOptions, train
from tests.train.executed import EXECUTED
from tests.train.test_resume import BASE
from tests.train.test_resume import sequences as sequences  # noqa: PLC0414

pytest.importorskip("torch")
pytest.importorskip("safetensors")


def test_a_run_compiles_nothing_where_numpy_runs_its_steps(
    sequences, tmp_path, quiet, monkeypatch
):
    for method in EXECUTED:
        monkeypatch.setitem(method.__kwdefaults__, "executor", REFERENCE)
    asked = []
    monkeypatch.setattr(compiler, "_compile", lambda *given: asked.append(given))
    options = TrainingOptions(**BASE | {"tau": None, "epochs": 1})
    report = train(sequences, options, tmp_path / "run", quiet)
    assert 0 < report.validation < 3
    assert not asked
