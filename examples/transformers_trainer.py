"""Hugging Face's Trainer on a model written for torch.nn and converted.

It reads a row of digits and says the first of them.
Needs, from a clone: pip install -c constraints.txt ".[train,examples]"
"""

import tempfile

import torch
from torch import nn
from transformers import Trainer, TrainingArguments, set_seed

import bptt.torch

N_DIGITS, N_STEPS, N_ROWS, STEPS = 5, 10, 512, 100


class FirstDigit(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(N_DIGITS, 8)
        self.rnn = nn.GRU(8, 32, batch_first=True)
        self.head = nn.Linear(32, N_DIGITS)

    def forward(self, digits, labels):
        _, h = self.rnn(self.embedding(digits))
        logits = self.head(h[-1])
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def main():
    set_seed(0)
    digits = torch.randint(N_DIGITS, (N_ROWS, N_STEPS))
    rows = [{"digits": row, "labels": row[0]} for row in digits]
    model = bptt.torch.convert(FirstDigit()).model
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=STEPS, per_device_train_batch_size=64, learning_rate=0.02,
            use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True,
            logging_steps=STEPS,
        )  # fmt: skip
        Trainer(model, arguments, train_dataset=rows).train()
    with torch.no_grad():
        found = model(digits, digits[:, 0])["logits"].argmax(-1)
    right = (found == digits[:, 0]).float().mean().item()
    print(f"right: {right:.2f}, {1 / N_DIGITS:.2f} by chance")


if __name__ == "__main__":
    main()
