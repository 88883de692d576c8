"""What watching the norms of a training step costs: `python -m benchmarks.flow_watch`.

python -m benchmarks.flow_watch torch|jax n_h,n_b,tau ...

An LSTM of n_h units and inputs: forward, backward and an update of Adam, on one thread,
in pairs of a step inside the context and a plain one, whose order alternates; CPU time.
`every="auto"` watches some of them: the sum of all differences over the sum of the
plain times, but for the first WARM pairs, and how many were watched.
"""

import statistics
import sys
import time

import numpy as np

from bptt.cells import lstm

WARM, SECONDS = 30, 8.0  # pairs before; of each size


def torch_steps(n_h, n_b, tau):
    """A plain step, one in the context, and the watch."""
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

    return plain, watched, watch


def jax_steps(n_h, n_b, tau):
    """A plain step and one in the context, each compiled, and the watch."""
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

    return plain, watched, watch


def measure(plain, watched, watch):
    """Milliseconds of a plain step, the share that watching adds, and of how many."""
    for run in (plain, watched) * WARM:
        run()
    times, more, begin = [], [], time.process_time()
    first = watch.iteration, len(watch.iterations)
    while time.process_time() - begin < SECONDS:
        spent = {}
        for run in ((plain, watched), (watched, plain))[len(times) % 2]:
            start = time.process_time()
            run()
            spent[run] = time.process_time() - start
        times.append(spent[plain])
        more.append(spent[watched] - spent[plain])
    seen = (len(watch.iterations) - first[1]) / (watch.iteration - first[0])
    return 1e3 * statistics.median(times), 100 * sum(more) / sum(times), seen


if __name__ == "__main__":
    make = {"torch": torch_steps, "jax": jax_steps}[sys.argv[1]]
    for text in sys.argv[2:]:
        shape = tuple(map(int, text.split(",")))
        plain, share, seen = measure(*make(*shape))
        print(
            f"{sys.argv[1]} n_h, n_b, tau = {shape}: {plain:.1f} ms, "
            f"watched {share:+.1f} %, {100 * seen:.0f} % of the steps"
        )
