"""Weights of steps, of sequences and of classes; what a target belongs to."""

import numpy as np
import pytest

from bptt.train import TrainingOptions, load, read_sequences, train
from bptt.train.data.opening import DataRequest, open_data
from bptt.train.data.sequence_task import sequence_task
from bptt.train.data.targets import remarks
from bptt.train.errors import BadRecordError, IgnoredOptionError, TrainError
from bptt.train.evaluation import evaluate
from bptt.train.loop import Learner
from bptt.train.model import build_model
from bptt.train.optimiser import Optimiser
from bptt.train.trivial import Trivial
from bptt.train.truncation import Truncation

pytest.importorskip("torch")
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(6, 4, 2)).astype(np.float32)
LENGTHS = np.array([4, 3, 4, 2, 4, 1])
CLASSES = RANDOM.integers(0, 3, (6, 4))
WEIGHTS = RANDOM.uniform(0, 2, (6, 4)).astype(np.float32)
OF_CLASS = np.array([1.0, 0.5, 3.0])


def read(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return read_sequences("a", [folder / "a.npz"])


def by_hand(model, p, weights):
    """The weighted mean of -log softmax(o)[y], row by row."""
    total = 0.0
    for i, tau in enumerate(LENGTHS):
        inputs = {"x": X[i, :tau, None], "y": CLASSES[i, :tau, None]}
        o = model.cell.forward(p, inputs)["o"][:, 0].astype(float)
        logs = o - np.log(np.exp(o).sum(axis=-1, keepdims=True))
        picked = logs[np.arange(tau), CLASSES[i, :tau]]
        total -= (weights[i, :tau] * picked).sum()
    return total / sum(weights[i, :tau].sum() for i, tau in enumerate(LENGTHS))


@pytest.mark.parametrize("names", [("weights",), ("class_weights",), ("both", "mask")])
def test_the_loss_is_the_mean_that_mask_weights_and_classes_weigh(tmp_path, names):
    arrays, weights = {}, np.ones((6, 4))
    if names[0] in ("weights", "both"):
        arrays["weights"] = WEIGHTS
        weights = weights * WEIGHTS
    if names[0] in ("class_weights", "both"):
        arrays["class_weights"] = OF_CLASS
        weights = weights * OF_CLASS[CLASSES]
    if "mask" in names:
        arrays["mask"] = RANDOM.integers(0, 2, (6, 4))
        weights = weights * arrays["mask"]
    data = read(tmp_path, x=X, y=CLASSES, lengths=LENGTHS, **arrays)
    options = TrainingOptions(cell="elman", n_h=3, n_b=6)
    model = build_model(options, data.form)
    p = model.init(data.form, options)
    dataset = sequence_task(
        data, TrainingOptions(cell="elman", n_h=3, n_b=6, held_out=0.2)
    ).parts["training"]
    whole = type(dataset)(data.parts["whole"], 6)
    for tau in (None, 3):
        found = evaluate(model, data.form, p, whole, Truncation(tau, tau))
        assert found.loss == pytest.approx(by_hand(model, p, weights), rel=1e-5)
    useful = np.arange(4) < LENGTHS[:, None]
    assert found.n == (useful & (weights > 0)).sum()
    # Training divides by the same sum.
    optimiser = Optimiser("sgd", p, 0.0)
    learner = Learner(model.cell, p, optimiser)
    from bptt.train.data.windows import plan_epoch

    (window,) = plan_epoch(whole, 0, Truncation(None, None))
    learned, _ = learner.learn_window(whole, window, None)
    assert learned.loss == pytest.approx(by_hand(model, p, weights), rel=1e-5)
    counts = np.array([(weights * (k == CLASSES) * useful).sum() for k in range(3)]) + 1
    trivial = Trivial.of(whole, data.form, "nll")
    np.testing.assert_allclose(np.exp(trivial.o), counts / counts.sum())
    logs = -trivial.o[CLASSES] * weights * useful
    expected = logs.sum() / (weights * useful).sum()
    assert trivial.measure(whole).loss == pytest.approx(expected)


def test_one_target_of_a_sequence_weighs_what_is_said(tmp_path):
    y, w = RANDOM.normal(size=(6, 2)).astype(np.float32), np.arange(6.0)
    data = read(tmp_path, x=X, y=y, lengths=LENGTHS, weights=w)
    options = TrainingOptions(cell="elman", n_h=3)
    model = build_model(options, data.form)
    p = model.init(data.form, options)
    from bptt.train.data.sequences import Batches

    found = evaluate(
        model, data.form, p, Batches(data.parts["whole"], 4), Truncation(None, None)
    )
    losses = []
    for i, tau in enumerate(LENGTHS):
        inputs = {"x": X[i, :tau, None], "y": np.zeros((tau, 1, 2), np.float32)}
        o = model.cell.forward(p, inputs)["o"][-1, 0]
        losses.append(((o - y[i]) ** 2).mean())
    assert found.loss == pytest.approx((w * losses).sum() / w.sum(), rel=1e-5)
    assert found.n == 5  # one weighs nothing


def test_what_cannot_weigh_is_refused(tmp_path):
    for arrays, message in (
        ({"weights": WEIGHTS[:, :3]}, r"weights holds float32 of shape \(6, 3\)"),
        ({"weights": -WEIGHTS}, "no number from 0"),
        ({"class_weights": OF_CLASS[:2]}, "y holds 2, and class_weights has 2"),
        ({"class_weights": OF_CLASS, "y": WEIGHTS}, "y is no class"),
        ({"weight": WEIGHTS}, "did you mean weights"),
        ({"y": CLASSES[:, 0], "weights": WEIGHTS}, "one number for each sequence"),
    ):
        with pytest.raises(BadRecordError, match=message):
            read(tmp_path, **({"x": X, "y": CLASSES} | arrays))


def test_per_says_what_y_belongs_to_where_its_shape_could_mean_both(tmp_path):
    path = tmp_path / "a.npz"
    y = RANDOM.normal(size=(6, 4)).astype(np.float32)
    np.savez(path, x=X, y=y)
    either = open_data(DataRequest((path,)))
    assert either.form.per_step
    assert "--per sequence" in either.remarks[0]
    step = open_data(DataRequest((path,), per="step"))
    assert (step.form, step.remarks) == (either.form, ())
    whole = open_data(DataRequest((path,), per="sequence"))
    assert (whole.form.per_step, whole.form.n_o, whole.remarks) == (False, 4, ())
    np.testing.assert_array_equal(whole.parts["whole"].y[2], y[2])
    np.savez(path, x=X, y=y[:, :3])
    with pytest.raises(BadRecordError, match="no target for each of 4 steps"):
        open_data(DataRequest((path,), per="step"))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(IgnoredOptionError, match="--per"):
        open_data(DataRequest((tmp_path / "a.txt",), per="step"))


def test_a_run_keeps_what_was_said_and_class_weights_find_the_rare_class(
    tmp_path, quiet
):
    x = RANDOM.normal(size=(400, 5, 1)).astype(np.float32)
    rare = (x[:, :, 0] + 0.7 * RANDOM.normal(size=(400, 5)) > 1.9).astype(int)
    recall = {}
    for weight in (1.0, 15.0):
        arrays = {"x": x, "y": rare, "class_weights": np.array([1.0, weight])}
        path = tmp_path / f"{weight}.npz"
        np.savez(path, **arrays)
        options = TrainingOptions(cell="elman", n_h=6, epochs=8, held_out=0.2)
        request = DataRequest((path,), per="step")
        data = open_data(request)
        report = train(data, options, tmp_path / f"run{weight}", quiet, request)
        recall[weight] = report.best_part.by_class[1]
    assert recall[15.0] > recall[1.0] + 0.3  # seen: 0.9 and 0.35
    kept = load(tmp_path / "run15.0").run.config["data"]["request"]["per"]
    assert kept == "step"


def test_a_pickle_and_the_like_are_never_read_and_say_what_to_do(tmp_path):
    for name, words in (
        ("a.PKL", "can run code"), ("a.xlsx", "save it as .csv"), ("a.mid", "MIDI"),
        ("a.MAT", "loadmat"), ("a.h5", "h5py"), ("a.npz.gz", "unpack it first"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(b"\x80\x04")
        with pytest.raises(TrainError, match=words):
            open_data(DataRequest((tmp_path / name,)))


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint64, np.float32, np.float64])
def test_a_mask_of_any_type_of_numbers_is_one_of_truths(tmp_path, kind):
    mask = (RANDOM.random((6, 4)) < 0.7).astype(kind)
    whole = read(tmp_path, x=X, y=CLASSES, mask=mask).parts["whole"]
    assert [list(whole.elements(i) > 0) for i in range(6)] == (mask > 0).tolist()


def test_gaps_of_x_are_filled_whatever_y_is(tmp_path):
    x = X.copy()
    x[3, 2, 1] = np.nan
    for y in (CLASSES, CLASSES[:, 0], X[..., :1]):
        np.savez(tmp_path / "a.npz", x=x, y=y)
        data = read_sequences("a", [tmp_path / "a.npz"], missing="mask")
        assert data.parts["whole"].x[3][2, 1] == X[3, 1, 1]


SLIPS = {
    "0.5, where 0 and 1 are needed; weights says": {"mask": np.full((6, 4), 0.5)},
    "nan, where 0 and 1 are needed": {"mask": np.full((6, 4), np.nan)},
    "lengths say where a sequence ends": {"y": CLASSES[:, 0], "mask": X[..., 0] > 0},
    r"no axis of its own: save y\[..., 0\]": {"y": CLASSES[:, :1] + 2},
    r"x of shape \(6, 4\) is one sequence, and 6 are x": {"x": X[..., 0]},
}


def test_a_roll_of_velocities_is_told_of_truths(tmp_path):
    with pytest.raises(BadRecordError, match=r"up to 90, not 0 and 1; save a roll as"):
        read(tmp_path, x=(X > 0).astype(np.uint8) * 90)


@pytest.mark.parametrize("message", SLIPS)
def test_a_slip_is_named_with_what_was_meant(tmp_path, message):
    with pytest.raises(BadRecordError, match=message):
        read(tmp_path, **{"x": X, "y": CLASSES, **SLIPS[message]})


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"x_test": X}, "has y of some parts, and none of test"),
        ({"y_test": CLASSES}, "has 'y_test' that belongs to no other array"),
        ({"x_val": X, "y_valid": CLASSES}, "has 'y_valid' that belongs to no other"),
        ({"x_training": X, "y_training": CLASSES}, "has 'x_train' that belongs to no"),
    ],
)
def test_a_part_that_lacks_an_array_is_refused(tmp_path, others, message):
    with pytest.raises(BadRecordError, match=message):
        read(tmp_path, x_train=X, y_train=CLASSES, **others)


def test_classes_as_real_numbers_are_named_also_where_some_are_left_out(tmp_path):
    y = np.where(X[..., 0] > 0, CLASSES, -100).astype(float)
    assert "-100 leaves a step out" in remark_of(tmp_path, y)
    assert not remark_of(tmp_path, np.where(y < 0, -99, y))


def remark_of(folder, y):
    data = read(folder, x=X, y=y)
    return " ".join(one for one in remarks(data, None) if "mse" in one).lower()
