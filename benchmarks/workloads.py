"""What is measured as a whole: steps and passes, exact and plain, of the same weights and data."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.models import gpt, language_loss, resnet
from worker.examples.digits import digits
from worker.examples.minilm import minilm
from worker.program import (
    Program,
    capture_inference,
    capture_training,
    inference_state,
    training_state,
)
from worker.program.wellformed import DOT_BITS

Loss = Callable[..., Tensor]


@dataclass
class Workload:
    """A module, what it is given, and a training's loss; its optimizer is SGD with momentum."""

    module: nn.Module
    batch: list[Tensor]
    loss_fn: Loss | None = None

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """A new one, of this workload's kind."""
        return torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)

    def capture(self, bits: int = DOT_BITS) -> tuple[Program, list[Tensor]]:
        """The program of one step, with products of so many bits, and its first state."""
        if self.loss_fn is None:
            program = capture_inference(self.module, self.batch, bits=bits)
            return program, inference_state(self.module)
        optimizer = self.optimizer(self.module)
        program = capture_training(self.module, self.loss_fn, optimizer, self.batch, bits=bits)
        return program, training_state(self.module, optimizer)

    def plain(self) -> Callable[[], object]:
        """One step of eager fp32 PyTorch, on a copy of the module."""
        module, loss_fn = copy.deepcopy(self.module), self.loss_fn
        if loss_fn is None:

            def forward() -> object:
                with torch.no_grad():
                    return module(*self.batch)

            return forward
        optimizer = self.optimizer(module)
        x, y = self.batch

        def step() -> object:
            optimizer.zero_grad()
            loss = loss_fn(module(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step


def _digits() -> Workload:
    job = digits()
    return Workload(job.module, [t[: job.batch_rows] for t in job.data], F.cross_entropy)


def _resnet() -> Workload:
    images, labels = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))
    return Workload(resnet(), [images, labels], F.cross_entropy)


def _gpt() -> Workload:
    tokens = torch.randint(0, 1000, (8, 257))
    batch = [tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()]
    return Workload(gpt(), batch, language_loss)


def _minilm() -> Workload:
    return Workload(*minilm())


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "digits perceptron step": _digits,
    "small ResNet step, 16 images": _resnet,
    "10 M GPT step, 8 x 256 tokens": _gpt,
    "MiniLM, 32 sentences of 64 tokens": _minilm,
}


def workload(name: str) -> Workload:
    """The workload of this name, the same in every process."""
    torch.manual_seed(0)
    return WORKLOADS[name]()
