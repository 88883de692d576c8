"""A Lightning module whose LSTM goes back through the kernels of bptt.

It reads a row of digits and says the first of them.
Needs, from a clone: pip install -c constraints.txt ".[train,examples]"
"""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

from bptt.torch import LSTM

N_DIGITS, N_STEPS, N_ROWS, EPOCHS = 5, 10, 512, 12


class FirstDigit(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(N_DIGITS, 8)
        self.rnn = LSTM(8, 32, batch_first=True)
        self.head = torch.nn.Linear(32, N_DIGITS)

    def forward(self, digits):
        _, (h, _) = self.rnn(self.embedding(digits))
        return self.head(h[-1])

    def training_step(self, batch):
        digits, first = batch
        return torch.nn.functional.cross_entropy(self(digits), first)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.02)


def main():
    lightning.seed_everything(0, verbose=False)
    digits = torch.randint(N_DIGITS, (N_ROWS, N_STEPS))
    data = DataLoader(TensorDataset(digits, digits[:, 0]), batch_size=64, shuffle=True)
    model = FirstDigit()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(model, data)
    with torch.no_grad():
        right = (model(digits).argmax(-1) == digits[:, 0]).float().mean().item()
    print(f"right: {right:.2f}, {1 / N_DIGITS:.2f} by chance")


if __name__ == "__main__":
    main()
