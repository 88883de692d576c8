"""Models in torch: a training step as written for torch.nn and after `convert`.

`python -m benchmarks --models` starts this module once per number of threads; options
come as JSON in the first argument, each measured row leaves as one line of JSON.
"""

import copy
import json
import os
import subprocess
import sys

from benchmarks.timing import (
    PAUSE,
    VARIABLES,
    DisagreementError,
    bind_process,
    median,
    time_interleaved,
)

OURS, THEIRS = "bptt", "torch.nn"
# float32: two runs of a few steps differ by some hundred roundings.
TOLERANCE = 1e-4
CLASSIFIER = {"n_tokens": 1000, "n_x": 100, "n_h": 128, "tau": 80, "n_b": 32}
CHARACTERS = {"n_tokens": 106, "n_x": 64, "n_h": 256, "tau": 64, "n_b": 32}
SMALL = {"tau": 16, "n_b": 2, "n_x": 8, "n_h": 16}


def make_classifier(n_tokens, n_x, n_h, **_):
    """Two layers of LSTM that label a row of tokens."""
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(n_tokens, n_x)
            self.rnn = nn.LSTM(n_x, n_h, num_layers=2, batch_first=True)
            self.head = nn.Linear(n_h, 2)

        def forward(self, tokens):
            _, (h, _) = self.rnn(self.embedding(tokens))
            return nn.functional.cross_entropy(self.head(h[-1]), tokens[:, 0] % 2)

    return Classifier()


def make_character_model(n_tokens, n_x, n_h, **_):
    """A GRU that says the next character at every step."""
    from torch import nn

    class CharacterModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(n_tokens, n_x)
            self.rnn = nn.GRU(n_x, n_h, batch_first=True)
            self.head = nn.Linear(n_h, n_tokens)

        def forward(self, tokens):
            h, _ = self.rnn(self.embedding(tokens[:, :-1]))
            logits = self.head(h).flatten(0, 1)
            return nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())

    return CharacterModel()


MODELS = {
    "classifier, LSTM of 2 layers": (make_classifier, CLASSIFIER),
    "character model, GRU": (make_character_model, CHARACTERS),
}


def make_step(model, sizes):
    """A training step with AdamW on random tokens; it returns the loss."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    shape = (sizes["n_b"], sizes["tau"])

    def step():
        tokens = torch.randint(sizes["n_tokens"], shape, generator=generator)
        optimiser.zero_grad()
        loss = model(tokens)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def measure_model(name, options):
    """The time of a training step of both, after their losses were compared."""
    import torch

    import bptt.torch

    make, sizes = MODELS[name]
    torch.manual_seed(0)
    theirs = make(**sizes)
    ours = bptt.torch.convert(copy.deepcopy(theirs))
    steps = {OURS: make_step(ours, sizes), THEIRS: make_step(theirs, sizes)}
    losses = {who: [step() for _ in range(3)] for who, step in steps.items()}
    for mine, other in zip(losses[OURS], losses[THEIRS], strict=True):
        if not abs(mine - other) <= TOLERANCE * abs(other):
            raise DisagreementError(f"{name}: loss {mine} differs from {other}")
    pause = PAUSE if options["threads"] > 1 else 0.0
    samples = time_interleaved(steps, options["rounds"], options["seconds"], pause)
    seconds = {who: median(values) for who, values in samples.items()}
    row = {"model": name, "sizes": sizes, "threads": options["threads"]}
    return row | {"seconds": seconds}


def measure_overhead(options):
    """A small LSTM: torch around the kernels, the kernels alone, and torch.nn.

    The kernels run from ready bindings: no argument is looked at, no result is read.
    """
    import torch

    import bptt.torch
    from bptt.passes import ForwardPass
    from bptt.torch.layers import layer_key
    from bptt.torch.plan import plan_of

    sizes = (SMALL["n_x"], SMALL["n_h"])
    layers = {OURS: bptt.torch.LSTM(*sizes), THEIRS: torch.nn.LSTM(*sizes)}
    x = torch.randn(SMALL["tau"], SMALL["n_b"], SMALL["n_x"])
    ones = torch.ones(SMALL["tau"], SMALL["n_b"], SMALL["n_h"])

    def make_run(layer):
        def run():
            layer.zero_grad()
            layer(x)[0].backward(ones)

        return run

    names = [name for name, _ in layers[OURS].named_parameters()]
    plan = plan_of(layer_key("LSTM", tuple(names)))
    arrays = [p.detach().numpy() for p in layers[OURS].parameters()] + [x.numpy()]
    ready = plan.forward(arrays, [True] * 4 + [False], 1)
    program = plan.cell.gradient_program(ready.request)
    seeds = {"h": ones.numpy()}

    def bare():
        ForwardPass(program, ready.bindings, ready.request, threads=1).backward(seeds)

    runs = {who: make_run(layer) for who, layer in layers.items()} | {"bare": bare}
    samples = time_interleaved(runs, 5 * options["rounds"], options["seconds"])
    seconds = {who: median(values) for who, values in samples.items()}
    return {"overhead": SMALL, "threads": options["threads"], "seconds": seconds}


def run_worker(options):
    """Yield all rows of one process."""
    bind_process(options["threads"])
    import torch

    torch.set_num_threads(options["threads"])
    if options["threads"] == 1:
        yield measure_overhead(options)
    for name in MODELS:
        yield measure_model(name, options)


def measure_models(options):
    """Yield the rows of a process with a number of threads.

    Raises: subprocess.CalledProcessError if it ends with an error.
    """
    number = str(options["threads"])
    ended = subprocess.run(  # noqa: S603 - this program itself
        [sys.executable, "-m", "benchmarks.models", json.dumps(options)],
        stdout=subprocess.PIPE, text=True, check=True,
        env=os.environ | dict.fromkeys(VARIABLES, number),
    )  # fmt: skip
    yield from map(json.loads, ended.stdout.splitlines())


def write_models(rows):
    """The rows as text."""
    lines = ["## Models in torch", ""]
    found = [row for row in rows if "model" in row]
    lines += [
        "| training step | threads | torch.nn ms | converted ms | x |",
        "|---|---|---|---|---|",
    ]
    for row in found:
        theirs, ours = row["seconds"][THEIRS], row["seconds"][OURS]
        lines.append(
            f"| {row['model']} | {row['threads']} | {1e3 * theirs:.1f} | "
            f"{1e3 * ours:.1f} | {theirs / ours:.2f} |"
        )
    for row in rows:
        if "overhead" in row:
            us = {who: 1e6 * value for who, value in row["seconds"].items()}
            lines += [
                "",
                "One LSTM layer of {n_h} units, tau = {tau}, n_b = {n_b}, forward and "
                "backward: ".format(**row["overhead"])
                + f"{us[OURS]:.0f} us, of which torch and the reading of arguments and "
                f"results {us[OURS] - us['bare']:.0f} us (target: 60); torch.nn "
                f"{us[THEIRS]:.0f} us.",
            ]
    return "\n".join(lines)


def main():
    for row in run_worker(json.loads(sys.argv[1])):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
