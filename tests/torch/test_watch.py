"""Norms of the states' gradients, collected around training steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import bptt  # noqa: E402
import bptt.torch  # noqa: E402
from bptt.flow.watch import WatchedNorms, quick_norms  # noqa: E402


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.front = bptt.torch.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.back = bptt.torch.Recurrent(bptt.cells.book, n_x=8, n_h=5, n_o=6, seed=0)

    def forward(self, x, y):
        return self.back(self.front(x)[0], y).loss


def test_norms_are_those_of_the_gradients_asked_for_afterwards():
    torch.manual_seed(0)
    model, x = Model(), torch.randn(7, 2, 3)
    y = torch.randint(0, 6, (7, 2))
    watch = bptt.torch.FlowWatch(model, every=1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = []
    for _ in range(2):
        optimiser.zero_grad()
        with watch:
            model(x, y).backward()
        one = {"back.h": model.back.node_gradients("h")}
        for layer in range(2):
            for reverse in (False, True):
                name = f"front.{layer}{' reversed' * reverse}"
                for state in ("h", "s"):
                    one[f"{name}.{state}"] = model.front.node_gradients(
                        state, layer, reverse=reverse
                    )
        expected.append({n: g.flatten(1).norm(dim=1).numpy() for n, g in one.items()})
        optimiser.step()
    assert sorted(watch.norms) == sorted(expected[0])
    for name, rows in watch.norms.items():
        # float32, sums of some ten squares in another order
        np.testing.assert_allclose(rows, [e[name] for e in expected], rtol=1e-5)
    assert not np.allclose(
        watch.norms["back.h"][0], watch.norms["back.h"][1], rtol=1e-3
    )
    model(x, y).backward()  # outside: not seen
    assert watch.norms["back.h"].shape == (2, 7)


def test_gradients_of_a_watched_step_are_those_of_any_other():
    torch.manual_seed(0)
    layer, x = bptt.torch.GRU(3, 4), torch.randn(5, 2, 3)
    layer(x)[0].pow(2).sum().backward()
    plain = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    with bptt.torch.FlowWatch(layer, every=1):
        layer(x)[0].pow(2).sum().backward()
    for mine, other in zip(layer.parameters(), plain, strict=True):
        assert torch.allclose(mine.grad, other, rtol=1e-5, atol=1e-6)


def test_every_so_many_steps_and_sequences_of_any_length():
    layer = bptt.torch.RNN(3, 4)
    watch = bptt.torch.FlowWatch(layer, every=2)
    for tau in (4, 5, 6):
        with watch:
            layer(torch.randn(tau, 2, 3))[0].sum().backward()
    assert watch.iterations == [0, 2]
    rows = watch.norms["0.h"]
    assert rows.shape == (2, 6)
    assert np.isnan(rows[0, 4:]).all() and np.isfinite(rows[1]).all()


class Board:
    def __init__(self):
        self.images, self.scalars = {}, {}

    def add_image(self, tag, image, step, dataformats):
        assert dataformats == "HWC"
        self.images[tag, step] = image

    def add_scalar(self, tag, value, step):
        self.scalars[tag, step] = value


def test_the_board_gets_a_heat_map_of_t_against_iteration():
    watch = WatchedNorms(1, board=(board := Board()), board_every=3)
    for iteration in range(3):
        watch.begin()
        norms = np.array([1e-4, 1e-2, 1.0, np.nan]) * 10.0**-iteration
        watch.note("lstm", {"h": norms[:, None, None]})
        watch.end()
    image = board.images["flow/lstm.h", 2]
    assert image.shape == (4, 3, 3) and image.dtype == np.uint8
    light = image.astype(int).sum(axis=2)
    assert (light[0] == 3 * 128).all()  # t = 4, above: no number
    assert (np.diff(light[1:], axis=0) < 0).all()  # falls towards t = 1, below
    assert (np.diff(light[1:], axis=1) < 0).all()  # and with every iteration
    assert board.scalars["flow/lstm.h first step", 2] == pytest.approx(1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_norms_of_float32_whose_squares_it_cannot_hold(scale):
    rows = np.float32(scale) * np.random.default_rng(0).normal(size=(4, 2, 3))
    found = quick_norms(rows.astype(np.float32))
    exact = np.linalg.norm(rows.reshape(4, -1) / scale, axis=1) * scale
    np.testing.assert_allclose(found, exact, rtol=1e-5)
