"""`bptt sample`: text from a trained model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bptt.train import open_run


def sample(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A folder that `bptt train` wrote.")
    ],
    prompt: Annotated[
        str, typer.Option(help="Text to continue; a new line if empty.")
    ] = "",
    length: Annotated[
        int, typer.Option(help="Characters, words or tokens to write.")
    ] = 500,
    temperature: Annotated[
        float,
        typer.Option(help="0 takes the likeliest character, 1 draws from the model."),
    ] = 0.7,
    top_k: Annotated[
        int | None,
        typer.Option(
            help="Draw among the so many likeliest alone.", show_default=False
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            help="What is written behind each number of a model of tokens without a "
            "vocabulary. [default: a space]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="best or last. [default: best]", show_default=False),
    ] = None,
) -> None:
    """Continue a text with a trained model.

    Characters appear as they are drawn. The same seed writes the same text.
    """
    sampler = open_run(run, checkpoint)
    characters = sampler.write(
        prompt,
        length,
        temperature=temperature,
        seed=seed,
        top_k=top_k,
        separator=separator,
    )
    sys.stdout.write(sampler.opening(prompt, separator))
    for character in characters:
        sys.stdout.write(character)
        sys.stdout.flush()
    sys.stdout.write("\n")
