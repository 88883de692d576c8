"""What y means: steps that are left out, the loss that is asked for, warnings."""

import numpy as np
import pytest

from bptt.train import TrainingOptions, read_sequences
from bptt.train.data.opening import make_task
from bptt.train.data.targets import remarks, with_loss
from bptt.train.errors import (
    BadRecordError,
    EmptyDataError,
    IgnoredOptionError,
    LossError,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 5, 2)).astype(np.float32)
CLASSES = RANDOM.integers(0, 3, (6, 5))


def read(folder, **arrays):
    file = folder / "data.npz"
    np.savez(file, **arrays)
    return read_sequences("data", [file])


def test_steps_that_are_left_out_by_mask_or_by_minus_100_have_no_loss(tmp_path):
    counts = RANDOM.random((6, 5)) < 0.6
    lengths = np.array([5, 2, 4, 5, 1, 3])
    counts[np.arange(6), 0] = True
    by_mask = read(tmp_path, x=X, y=CLASSES, mask=counts, lengths=lengths)
    y = np.where(counts, CLASSES, -100)
    by_number = read(tmp_path, x=X, y=y, lengths=lengths)
    assert by_mask.form == by_number.form
    assert by_mask.form.n_o == 3
    options = TrainingOptions(n_b=4, held_out=0.3)
    for data in (by_mask, by_number):
        for dataset in make_task(data, options).parts.values():
            for rows in dataset.groups(0):
                for start, stop in ((0, 5), (1, 4)):
                    block = dataset.read(rows, start, stop)
                    assert block.scored.sum() == dataset.count(rows, start, stop)
                    assert block.y.min() >= 0
    whole = by_number.parts["whole"]
    for row in range(6):
        np.testing.assert_array_equal(whole.steps(row), counts[row, : lengths[row]])
        kept = by_mask.parts["whole"]
        np.testing.assert_array_equal(kept.steps(row), counts[row, : lengths[row]])


def test_a_mask_without_y_is_that_of_the_next_step(tmp_path):
    mask = np.array([[1, 0, 1, 1, 0]] * 6)
    data = read(tmp_path, x=X, mask=mask)
    np.testing.assert_array_equal(
        data.parts["whole"].steps(2), [False, True, True, False]
    )


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (
            {"y": CLASSES, "mask": np.ones((6, 4), int)},
            BadRecordError,
            "0 or 1 for each",
        ),
        ({"y": CLASSES, "mask": X[..., 0]}, BadRecordError, "mask holds 0.12"),
        (
            {"y": CLASSES[:, 0], "mask": np.ones((6, 5), int)},
            BadRecordError,
            "one target",
        ),
        ({"y": np.full(6, -100)}, BadRecordError, "leave the record out"),
        ({"y": np.full((6, 5), -100)}, EmptyDataError, "no step of the part whole has"),
        ({"y": CLASSES - 1}, BadRecordError, "y holds -1; entries count from 0"),
        ({"y": CLASSES, "masks": CLASSES}, BadRecordError, "did you mean mask"),
        ({"y": CLASSES, "lenghts": CLASSES}, BadRecordError, "did you mean lengths"),
    ],
)
def test_a_mask_that_is_none_is_refused(tmp_path, arrays, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, x=X, **arrays)


def test_a_loss_that_is_asked_for_says_what_y_is(tmp_path):
    labels = CLASSES.astype(np.float32)
    data = read(tmp_path, x=X, y=labels)
    assert data.form.target == "real"
    meant = with_loss(data, "nll")
    assert (meant.form.target, meant.form.n_o) == ("class", 3)
    np.testing.assert_array_equal(meant.parts["whole"].y[4], CLASSES[4])
    roll = (RANDOM.random((6, 5, 4)) < 0.5).astype(np.float64)
    meant = with_loss(read(tmp_path, x=X, y=roll), "bce")
    assert (meant.form.target, meant.form.n_o) == ("multi-hot", 4)
    assert meant.parts["whole"].y[0].dtype == bool
    meant = with_loss(read(tmp_path, x=X, y=CLASSES), "mse")
    assert (meant.form.target, meant.form.n_o) == ("real", 1)
    np.testing.assert_array_equal(meant.parts["whole"].y[1][:, 0], CLASSES[1])
    for loss, y in (("nll", X), ("bce", labels), ("nll", labels + 0.5)):
        with pytest.raises(LossError, match=f"--loss {loss}: needs targets that are"):
            with_loss(read(tmp_path, x=X, y=y), loss)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (CLASSES.astype(float)[..., None], "whole numbers, as real ones"),
        ((X > 0).astype(float), "only 0 and 1, as real numbers"),
        (CLASSES > 1, "read as one target for each of 5 steps"),
        (X[..., 0], "read as one target for each of 5 steps"),
        (CLASSES[:, 0], None),
        (X, None),
        (CLASSES, None),
        (X > 0, None),
    ],
)
def test_what_looks_like_a_mistake_is_named(tmp_path, y, words):
    found = remarks(read(tmp_path, x=X, y=y), None)
    assert [words in remark for remark in found] == ([] if words is None else [True])


def test_who_names_a_loss_is_not_told_to(tmp_path):
    data = with_loss(read(tmp_path, x=X, y=(X > 0).astype(float)), "mse")
    assert remarks(data, "mse") == []


def test_sequences_of_one_column_without_an_axis_are_not_one_in_silence(tmp_path):
    (found,) = remarks(read(tmp_path, x=X[..., 0], y=CLASSES[:, 0]), None)
    assert "one sequence of 6 steps and 5 columns" in found
    with pytest.raises(BadRecordError, match=r"one column are x\[\.\.\., None"):
        read(tmp_path, x=X[..., 0], y=CLASSES[:, 0], lengths=np.full(6, 3))
    with pytest.raises(BadRecordError, match=r"float32 holds 3.4e.38 at most"):
        read(tmp_path, x=X.astype(float) * 1e39, y=CLASSES)


def test_a_loss_is_refused_where_the_target_is_the_next_character(
    small_text, tmp_path, quiet
):
    from bptt.train import train

    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    with pytest.raises(IgnoredOptionError, match="--loss: it would be ignored"):
        train(small_text, TrainingOptions(loss="mse"), tmp_path / "run", quiet)


@pytest.mark.parametrize("tokens", [CLASSES, np.arange(6)[:, None] + CLASSES])
def test_tokens_have_no_mean_that_could_be_taken_off(tmp_path, tokens):
    data = read(tmp_path, x=tokens, y=CLASSES[:, -1])
    with pytest.raises(IgnoredOptionError, match=r"--standardise: .* no vector x"):
        make_task(data, TrainingOptions(standardise=True, held_out=0.3))
