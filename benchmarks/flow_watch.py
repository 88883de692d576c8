"""What watching the norms of a training step costs: `python -m benchmarks.flow_watch`.

python -m benchmarks.flow_watch torch|jax n_h,n_b,tau ...

An LSTM of n_h units and inputs: forward, backward and an update of Adam, on one thread,
in pairs of a watched and a plain step whose order alternates; CPU time, and the median
of the pairs' differences.
"""

import statistics
import sys
import time

import numpy as np

from bptt.cells import lstm

WARM, SECONDS = 5, 6.0  # steps before; of each size


def torch_steps(n_h, n_b, tau):
    """A plain step and a watched one."""
    import torch

    import bptt.torch

    torch.set_num_threads(1)
    model, x = bptt.torch.LSTM(n_h, n_h), torch.randn(tau, n_b, n_h)
    optimiser, watch = torch.optim.Adam(model.parameters()), bptt.torch.FlowWatch(model)

    def plain():
        optimiser.zero_grad()
        model(x)[0].pow(2).mean().backward()
        optimiser.step()

    def watched():
        with watch:
            plain()

    return plain, watched


def jax_steps(n_h, n_b, tau):
    """A plain step and a watched one, each compiled."""
    import jax
    import optax

    import bptt.jax

    optimiser, watch = optax.adam(1e-3), bptt.jax.FlowWatch()
    params = lstm.init(n_x=n_h, n_h=n_h, dtype=np.float32)
    x = np.random.default_rng(0).normal(size=(tau, n_b, n_h)).astype(np.float32)
    layer = bptt.jax.recurrent(lstm, threads=1)

    def make(f):
        @jax.jit
        def step(p, state):
            grad = jax.grad(lambda p: (f(p, {"x": x}).nodes["h"] ** 2).mean())(p)
            moves, state = optimiser.update(grad, state)
            return optax.apply_updates(p, moves), state

        held = [params, optimiser.init(params)]

        def run():
            held[:] = jax.block_until_ready(step(*held))

        return run

    plain, seen = make(layer), make(watch.layer("lstm", layer))

    def watched():
        with watch:
            seen()

    return plain, watched


def measure(plain, watched):
    """Milliseconds of a plain step, and what watching adds."""
    for run in (plain, watched) * WARM:
        run()
    times, more, turn = [], [], 0
    begin = time.process_time()
    while time.process_time() - begin < SECONDS:
        spent = {}
        for run in ((plain, watched), (watched, plain))[turn % 2]:
            start = time.process_time()
            run()
            spent[run] = time.process_time() - start
        times.append(spent[plain])
        more.append(spent[watched] - spent[plain])
        turn += 1
    return 1e3 * statistics.median(times), 1e3 * statistics.median(more), turn


if __name__ == "__main__":
    make = {"torch": torch_steps, "jax": jax_steps}[sys.argv[1]]
    for text in sys.argv[2:]:
        shape = tuple(map(int, text.split(",")))
        plain, more, pairs = measure(*make(*shape))
        print(
            f"{sys.argv[1]} n_h, n_b, tau = {shape}: {plain:.1f} ms, "
            f"watched {100 * more / plain:+.1f} % ({pairs} pairs)"
        )
