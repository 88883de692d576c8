"""Drawing characters one at a time."""

import numpy as np
import pytest

from bptt.train.data.form import Form
from bptt.train.data.vocabulary import Vocabulary
from bptt.train.errors import CellNotTrainableError, OptionError
from bptt.train.model import build_model
from bptt.train.options import TrainingOptions
from bptt.train.sampling import Sampler, draw, writer_of

VOCABULARY = Vocabulary(("\n", "a", "b", "c", "d"))


@pytest.fixture
def sampler():
    form = Form(len(VOCABULARY), True, "class", len(VOCABULARY))
    model = build_model(TrainingOptions(cell="lstm"), form)
    parameters = model.init(form, TrainingOptions(n_h=7))
    # An untrained network of this size hardly prefers any character.
    parameters = {name: 3.0 * value for name, value in parameters.items()}
    return Sampler(model, parameters, VOCABULARY)


def own(folder, text):
    (folder / "own.cell").write_text(text)
    options = TrainingOptions(cell=str(folder / "own.cell"), n_h=4)
    form = Form(len(VOCABULARY), True, "class", len(VOCABULARY))
    model = build_model(options, form)
    return writer_of(model, model.init(form, options), VOCABULARY)


STEP = "h[t] = tanh(W @ h[t-1] + U[:, x[t]]{})\no[t] = c + V @ h[t]\n"
LOSS = "L[t] = nll(softmax(o[t]), y[t])\n"


def test_an_entry_beyond_the_vocabulary_is_never_written(tmp_path):
    wide = own(tmp_path, f"V: (50, n_h); c: 50\n{STEP.format('')}{LOSS}")
    assert set("".join(wide.write("ab", 40, seed=1))) <= set("\nabcd")


def test_a_cell_that_reads_the_targets_back_writes_no_text(tmp_path):
    with pytest.raises(CellNotTrainableError, match=r"y\[t-1\] is x\[t\]"):
        own(tmp_path, STEP.format(" + R[:, y[t-1]]") + LOSS)


def test_temperature_zero_takes_the_likeliest_at_every_step(sampler):
    written = "".join(sampler.write("ab", 12, temperature=0.0))
    # The same choice with the whole text so far run again from the start each time.
    text = "ab"
    for _ in range(12):
        x = VOCABULARY.encode(text)[:, None]
        run = sampler._model.cell.forward(
            sampler._parameters, {"x": x, "y": np.zeros_like(x)}
        )
        text += VOCABULARY.decode(np.array([1 + run["o"][-1, 0, 1:].argmax()]))
    assert written == text[2:]


def test_the_same_seed_writes_the_same_text_and_another_does_not(sampler):
    first = "".join(sampler.write("a", 40, seed=1))
    assert first == "".join(sampler.write("a", 40, seed=1))
    assert first != "".join(sampler.write("a", 40, seed=2))


def test_characters_are_drawn_only_as_they_are_asked_for(sampler):
    characters = sampler.write("a", 10**9)
    assert len([next(characters) for _ in range(3)]) == 3


def test_an_empty_prompt_stands_for_a_new_line(sampler):
    assert "".join(sampler.write("", 20)) == "".join(sampler.write("\n", 20))


def test_length_zero_writes_nothing(sampler):
    assert list(sampler.write("a", 0)) == []


def test_draws_follow_the_softmax_at_the_temperature():
    o = np.log(np.array([5.0, 1.0, 2.0, 4.0]))  # entry 0 is unknown, never drawn
    random = np.random.default_rng(0)
    draws = [draw(o, 0.5, random, excluded=0) for _ in range(20_000)]
    drawn = np.bincount(draws, minlength=4)
    np.testing.assert_allclose(drawn / 20_000, np.array([0, 1, 4, 16]) / 21, atol=0.01)


def test_only_the_k_likeliest_are_drawn_also_where_scores_are_equal():
    o = np.log(np.array([9.0, 3.0, 1.0, 1.0, 6.0]))
    random = np.random.default_rng(0)
    draws = [draw(o, 1.0, random, top_k=3, excluded=0) for _ in range(20_000)]
    drawn = np.bincount(draws, minlength=5)
    np.testing.assert_allclose(
        drawn / 20_000, np.array([0, 3, 1, 0, 6]) / 10, atol=0.01
    )
    assert {draw(o, 1.0, random, top_k=1, excluded=0) for _ in range(9)} == {4}


def test_a_model_of_tokens_writes_numbers(sampler):
    tokens = Sampler(sampler._model, sampler._parameters, None)
    written = "".join(tokens.write("3 1", 6, seed=2))
    assert len(written.split()) == 6
    assert set(written.split()) <= set("012345")
    with pytest.raises(OptionError, match="--prompt a: expected numbers of tokens"):
        tokens.write("a", 1)


def test_large_scores_and_a_small_temperature_do_not_overflow():
    o = np.array([0.0, 3e4, 2e4, -3e4], np.float32)
    assert draw(o, 1e-3, np.random.default_rng(0), excluded=0) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"length": -1}, "--length -1: expected a whole number from 0."),
        ({"temperature": -0.5}, "--temperature -0.5: expected a number from 0."),
        ({"temperature": np.nan}, "--temperature nan: expected a number from 0."),
        ({"top_k": 0}, "--top-k 0: expected a whole number from 1."),
        ({"seed": -2}, "--seed -2: expected a whole number from 0."),
    ],
)
def test_a_value_out_of_range_is_restated(sampler, given, message):
    with pytest.raises(OptionError) as caught:
        sampler.write("a", **({"length": 1} | given))
    assert str(caught.value) == message
