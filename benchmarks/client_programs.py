"""Short programs around libraries that no one here wrote, each built anew from a seed.

A maker takes what is to happen to the model before it is used, `change(model)`, and
gives a function that runs the program; it returns how many steps it took and a number
that two runs must agree on, as far as they do the same arithmetic.
"""

import warnings

N_TAGS, N_WORDS = 9, 500


def _tokens(n_rows, tau, n_tokens, seed=1):
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randint(n_tokens, (n_rows, tau), generator=generator)


def _train(loss_of, parameters, steps, rate=1e-3):
    """Adam over `loss_of(step)`; steps and the last loss."""
    import torch

    optimiser = torch.optim.Adam(parameters, rate)
    for step in range(steps):
        optimiser.zero_grad()
        loss = loss_of(step)
        loss.backward()
        optimiser.step()
    return steps, loss.item()


def make_recurrent_ppo(change):
    """sb3-contrib: proximal policy optimisation with an LSTM on CartPole."""
    from sb3_contrib import RecurrentPPO

    steps = 512
    agent = RecurrentPPO(
        "MlpLstmPolicy", "CartPole-v1", n_steps=128, batch_size=128, n_epochs=4,
        seed=0, device="cpu",
    )  # fmt: skip
    change(agent.policy)

    def run():
        agent.learn(steps)
        # What it does depends on every rounding: only that it learned is checked.
        return steps, float(agent.num_timesteps)

    return run


def make_tagger(change):
    """pytorch-crf: a bidirectional LSTM under a conditional random field."""
    import torch
    import torchcrf

    torch.manual_seed(0)
    embedding = torch.nn.Embedding(N_WORDS, 64)
    lstm = torch.nn.LSTM(64, 64, bidirectional=True, batch_first=True)
    head, crf = torch.nn.Linear(128, N_TAGS), torchcrf.CRF(N_TAGS, batch_first=True)
    model = torch.nn.ModuleDict(
        {"embedding": embedding, "lstm": lstm, "head": head, "crf": crf}
    )
    change(model)
    words, tags = _tokens(16, 25, N_WORDS), _tokens(16, 25, N_TAGS, seed=2)

    def loss_of(_):
        h, _ = model["lstm"](embedding(words))
        return -crf(head(h), tags, reduction="mean")

    return lambda: _train(loss_of, model.parameters(), 20)


def make_lightning(change):
    """Lightning: a Trainer around an LSTM that names the first of a row of tokens."""
    import logging

    import lightning
    import torch

    class First(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(10, 16)
            self.rnn = torch.nn.LSTM(16, 64, batch_first=True)
            self.head = torch.nn.Linear(64, 10)

        def training_step(self, batch):
            (rows,) = batch
            _, (h, _) = self.rnn(self.embedding(rows))
            self.last = torch.nn.functional.cross_entropy(self.head(h[-1]), rows[:, 0])
            return self.last

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    model = First()
    change(model)
    rows = torch.utils.data.TensorDataset(_tokens(640, 20, 10))
    data = torch.utils.data.DataLoader(rows, batch_size=32)

    def run():
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_model_summary=False, enable_progress_bar=False,
        )  # fmt: skip
        trainer.fit(model, data)
        return trainer.global_step, model.last.item()

    return run


def make_trainer(change):
    """Hugging Face: a Trainer around a GRU that says the next token."""
    import tempfile

    import torch
    import transformers

    class Next(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(50, 32)
            self.rnn = torch.nn.GRU(32, 96, batch_first=True)
            self.head = torch.nn.Linear(96, 50)

        def forward(self, tokens):
            h, _ = self.rnn(self.embedding(tokens[:, :-1]))
            logits = self.head(h).flatten(0, 1)
            return {"loss": torch.nn.functional.cross_entropy(
                logits, tokens[:, 1:].flatten()
            )}  # fmt: skip

    torch.manual_seed(0)
    model = Next()
    change(model)
    data = [{"tokens": row} for row in _tokens(320, 32, 50)]

    def run():
        with tempfile.TemporaryDirectory() as folder:
            options = transformers.TrainingArguments(
                folder, num_train_epochs=1, per_device_train_batch_size=16,
                report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True,
                remove_unused_columns=False, seed=0, logging_strategy="no",
            )  # fmt: skip
            trainer = transformers.Trainer(model, options, train_dataset=data)
            trainer.remove_callback(transformers.PrinterCallback)
            result = trainer.train()
        return result.global_step, result.training_loss

    return run


def make_speech(change):
    """speechbrain: its LSTM, then its GRU, over frames of speech."""
    import torch
    from speechbrain.nnet.RNN import GRU, LSTM

    torch.manual_seed(0)
    model = torch.nn.ModuleList([
        LSTM(hidden_size=64, input_shape=[None, None, 40], bidirectional=True),
        GRU(hidden_size=64, input_shape=[None, None, 128]),
    ])  # fmt: skip
    change(model)
    frames = torch.randn(8, 100, 40)

    def loss_of(_):
        h, _ = model[0](frames)
        out, _ = model[1](h)
        return out.square().mean()

    return lambda: _train(loss_of, model.parameters(), 10)


def make_tacotron(change):
    """torchaudio: a training step of Tacotron 2, whose decoder has cells of torch."""
    import torch
    from torchaudio.models import Tacotron2

    torch.manual_seed(0)
    model = Tacotron2(decoder_dropout=0.0, attention_dropout=0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    change(model)
    n_rows, n_steps = 4, 30
    text, lengths = _tokens(n_rows, 40, 148), torch.full((n_rows,), 40)
    mel, steps = torch.randn(n_rows, 80, n_steps), torch.full((n_rows,), n_steps)

    def loss_of(step):
        torch.manual_seed(step)  # its prenet drops units always
        found, post, gate, _ = model(text, lengths, mel, steps)
        return (
            (found - mel).square().mean()
            + (post - mel).square().mean()
            + (gate.square().mean())
        )

    return lambda: _train(loss_of, model.parameters(), 2)


def make_characters(change):
    """A character model written for torch.nn: one LSTM and a read-out."""
    import torch

    torch.manual_seed(0)
    embedding = torch.nn.Embedding(80, 64)
    lstm, head = torch.nn.LSTM(64, 128, batch_first=True), torch.nn.Linear(128, 80)
    model = torch.nn.ModuleDict({"embedding": embedding, "lstm": lstm, "head": head})
    change(model)
    text = _tokens(16, 65, 80)

    def loss_of(_):
        h, _ = model["lstm"](embedding(text[:, :-1]))
        return torch.nn.functional.cross_entropy(
            head(h).flatten(0, 1), text[:, 1:].flatten()
        )

    return lambda: _train(loss_of, model.parameters(), 20)


# Name -> maker, and whether two runs do the same arithmetic, to rounding.
PROGRAMS = {
    "sb3-contrib RecurrentPPO": (make_recurrent_ppo, False),
    "pytorch-crf tagger": (make_tagger, True),
    "Lightning": (make_lightning, True),
    "Hugging Face Trainer": (make_trainer, True),
    "speechbrain LSTM + GRU": (make_speech, True),
    "torchaudio Tacotron2": (make_tacotron, True),
    "character model": (make_characters, True),
}


def make(name, change):
    """The program `name`, without the warnings of other people's libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PROGRAMS[name][0](change)
