"""Training curves beside plain fp32 PyTorch: `python -m benchmarks.curves [--json] [NAME ...]`.

Every family is trained for the same steps from the same seed on the same batches, exactly with 14
and with 20 bits, in plain fp32, and, for comparison, in plain fp64: what fp32's own rounding makes
of a curve. With
--save the numbers go into benchmarks/results/curves.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.families import FAMILIES, Batch, Family
from benchmarks.measure import machine
from worker.program import capture_training, training_state

RESULTS = Path(__file__).parent / "results" / "curves.json"
WINDOW = 20  # steps of the running mean


@dataclass(frozen=True)
class Curve:
    """Losses of one family, and their greatest relative differences over all steps."""

    name: str
    seed: int
    bits: int
    steps: int
    first: float
    last: float
    last_exact: float
    worst: float
    worst_smooth: float
    bias: float
    worst_of_fp32: float
    worst_smooth_of_fp32: float
    nodes: int
    capture_seconds: float
    exact_seconds: float
    plain_seconds: float


def losses(family: Family, module: nn.Module, batches: list[Batch]) -> list[float]:
    """Plain PyTorch's, in the module's own precision."""
    dtype = next(module.parameters()).dtype
    optimizer = family.optimizer([p for p in module.parameters() if p.requires_grad])
    found = []
    for batch in batches:
        optimizer.zero_grad()
        loss = _loss(family, module, batch, dtype)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def _loss(family: Family, module: nn.Module, batch: Batch, dtype: torch.dtype) -> Tensor:
    if isinstance(batch, dict):
        outputs = module(**batch)
        return outputs.loss if family.loss is None else family.loss(outputs, batch)
    *inputs, target = (t.to(dtype) if t.is_floating_point() else t for t in batch)
    assert family.loss is not None
    return family.loss(module(*inputs), target)


def smooth(values: list[float]) -> Tensor:
    """Means over the window up to each step."""
    return torch.tensor(values, dtype=torch.float64).unfold(0, min(WINDOW, len(values)), 1).mean(1)


def apart(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The greatest relative differences of the steps and of the running means, and that of the
    means over all steps, with its sign."""
    a, b = (torch.tensor(v, dtype=torch.float64) for v in (ours, theirs))
    steps = float(((a - b) / b).abs().max())
    runs = float(((smooth(ours) - smooth(theirs)) / smooth(theirs)).abs().max())
    return steps, runs, float((a.mean() - b.mean()) / b.mean())


def course(name: str, steps: int, bits: int, seed: int = 0) -> Curve:
    family = FAMILIES[name]
    torch.manual_seed(seed)
    module = family.make()
    batches = list(family.batches(steps, seed))
    optimizer = family.optimizer([p for p in module.parameters() if p.requires_grad])
    start = time.perf_counter()
    program = capture_training(module, family.loss, optimizer, batches[0], bits=bits)
    captured = time.perf_counter() - start
    state = training_state(module, optimizer)
    exact = []
    start = time.perf_counter()
    for batch in batches:
        rows = list(batch.values()) if isinstance(batch, dict) else batch
        state, (loss,) = program.run(state, rows)
        exact.append(loss.item())
    ran = time.perf_counter() - start
    fine = losses(family, copy.deepcopy(module).double(), batches)
    start = time.perf_counter()
    plain = losses(family, module, batches)
    plain_seconds = time.perf_counter() - start
    worst, runs, bias = apart(exact, plain)
    noise, noise_runs, _ = apart(plain, fine)
    return Curve(
        name=name,
        seed=seed,
        bits=bits,
        steps=steps,
        first=plain[0],
        last=float(smooth(plain)[-1]),
        last_exact=float(smooth(exact)[-1]),
        worst=worst,
        worst_smooth=runs,
        bias=bias,
        worst_of_fp32=noise,
        worst_smooth_of_fp32=noise_runs,
        nodes=len(program.nodes),
        capture_seconds=captured,
        exact_seconds=ran,
        plain_seconds=plain_seconds,
    )


def line(c: Curve) -> str:
    return (
        f"{c.name:32s} {c.bits:4d} {c.first:8.4f} {c.last:9.5f} {c.last_exact:9.5f}"
        f" {c.worst:9.2%} {c.worst_smooth:9.3%} {c.bias:+9.3%}"
        f" {c.worst_of_fp32:10.2%} {c.worst_smooth_of_fp32:9.3%}"
    )


TITLE = (
    f"{'':32s} {'bits':>4s} {'first':>8s} {'last fp32':>9s} {'exact':>9s} {'worst':>9s}"
    f" {'of means':>9s} {'bias':>9s} {'fp32:fp64':>10s} {'of means':>9s}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FAMILIES))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bits", type=int, nargs="+", default=[14, 20])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FAMILIES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    if not options.json:
        print(TITLE)
    document = {
        "command": " ".join(["python -m benchmarks.curves", *sys.argv[1:]]),
        "machine": machine(),
        "curves": (curves := []),
    }
    for name, bits in product(options.names or FAMILIES, options.bits):
        curve = course(name, options.steps, bits, options.seed)
        curves.append(asdict(curve))
        if not options.json:
            print(line(curve), flush=True)
        if options.save:
            RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    if options.json:
        print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
