"""Run by torchrun: two processes, each with half of the batch, write their gradient.

With whole parameters in each, and with parameters of which each has a part: those are
gathered before every call and every way back, and freed after it.
"""

import sys

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import bptt.torch

TAU, N_B, N_X, N_H = 5, 4, 6, 3


def make_model():
    torch.manual_seed(0)
    return bptt.torch.convert(nn.GRU(N_X, N_H).double()).model


def make_batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(TAU, N_B, N_X, generator=generator, dtype=torch.float64)


def gradient(model, x):
    """The mean over rows, as distributed training averages it."""
    model(x)[0].square().sum((0, 2)).mean().backward()
    return {
        name.removeprefix("module."): p.grad for name, p in model.named_parameters()
    }


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    model = DistributedDataParallel(make_model())
    found = gradient(model, make_batch()[:, rank::2])
    torch.save(found, f"{sys.argv[1]}/whole-{rank}.pt")
    sharded = fully_shard(make_model())
    for _ in range(2):
        sharded.zero_grad()
        found = gradient(sharded, make_batch()[:, rank::2])
    found = {name: part.full_tensor() for name, part in found.items()}
    torch.save(found, f"{sys.argv[1]}/sharded-{rank}.pt")
    distributed.destroy_process_group()
