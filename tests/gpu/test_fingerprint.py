"""The fingerprint in kernels: the interpreter's bits, of numbers of every size."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")

from tests.gpu.test_executor import ran
from tests.program.test_fingerprint import copied, perceptron
from worker.program import fingerprinted
from worker.program.codes import F32, I64
from worker.program.execute import Moment


@pytest.mark.parametrize("count", [100, 5_000])
def test_floats_of_every_size(count, device):
    """Protects solvers with GPUs: exponents of single elements, wrapping products, a long sum."""
    torch.manual_seed(0)
    x = torch.randn(count) * torch.exp2(torch.randint(-140, 126, (count,)).float())
    x[[3, 17]] = torch.tensor([float("inf"), -0.0])
    ran(copied(F32, count), [x], [], Moment(1, 0), device)
    x[5] = float("nan")
    ran(copied(F32, count), [x], [], Moment(1, 0), device)


def test_integers(device):
    x = torch.randint(-(2**63), 2**63 - 1, (1_000,))
    ran(copied(I64), [x], [], Moment(1, 0), device)


def test_a_whole_training(device):
    program, state, batch = perceptron()
    ran(fingerprinted(program), state, batch, Moment(3, 1), device)
