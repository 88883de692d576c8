"""The flow of a trained run: of its initial and of its best parameters."""

import numpy as np
import pytest

pytest.importorskip("safetensors")

from bptt.train.data.opening import DataRequest, open_data
from bptt.train.flow_report import write_flows
from bptt.train.run_folder import read_run
from tests.cli.command import bptt

TEXT = "the cat sat on the mat and the dog on the log. " * 60


def test_a_training_run_leaves_the_flow_before_and_after_it(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    command = "train text.txt --out run --cell lstm --n-h 8 --epochs 1 --tau 12 --n-b 4"
    ended = bptt(*command.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "gradients: " in ended.stdout
    for when, words in (("first", "before training"), ("last", "after training")):
        page = (tmp_path / "run" / f"flow_{when}.html").read_text(encoding="utf-8")
        assert f"lstm {words}" in page
        assert f"训练之{'前' if when == 'first' else '后'}的 lstm" in page
        assert "text.txt, x (100, 4), y (100, 4)" in page
        assert "characters" not in page  # the Chinese half would be half English
        # Longer than the window of 12 steps, so that what it cuts off is seen.
        assert "4 rows, 100 steps" in page
        assert "with a window of 12 steps" in page
    saved = read_run(tmp_path / "run", "best")
    found = write_flows(
        tmp_path / "run", open_data(DataRequest((tmp_path / "text.txt",)))
    )
    first, last = found["first"].setting, found["last"].setting
    np.testing.assert_array_equal(first.inputs["x"], last.inputs["x"])
    assert (first.params["b_f"] == 1).all()  # as the cell declares it
    for name, array in saved.parameters.items():
        np.testing.assert_array_equal(last.params[name], array)
    assert found["last"].subject.dtype == "float32"
