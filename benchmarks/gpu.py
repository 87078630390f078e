"""Exact steps on a GPU beside plain PyTorch in fp32, TF32 and bf16, and beside the CPU's bits.

python -m benchmarks.gpu [--json] [--save] [--device cuda] [--only NAME]

Every product and step is run in turn with the others in one process; times are medians. Then one
step of each workload, of one row of its batch, is traced on the CPU and on the GPU, and the bits of
every node are compared. With --save the document goes into benchmarks/results/gpu-NAME.json.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.exact import SIZES
from benchmarks.measure import machine
from benchmarks.models import language_loss
from benchmarks.workloads import WORKLOADS, Workload, workload
from worker import exact

RESULTS = Path(__file__).parent / "results"
BITS = (14, 20)
SECONDS = 4.0
Step = Callable[[], object]


class Logits(nn.Module):
    """A model of transformers as a plain module from tokens to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens).logits


def gpt2() -> Workload:
    """GPT-2's smallest, 124 M parameters at random, 4 texts of 512 tokens; no dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0, use_cache=False)
    tokens = torch.randint(0, config.vocab_size, (4, 513))
    batch = [tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()]
    return Workload(Logits(GPT2LMHeadModel(config)), batch, language_loss)


def made(name: str) -> Workload:
    torch.manual_seed(0)
    return MAKERS[name]()


MAKERS: dict[str, Callable[[], Workload]] = {
    **{name: lambda name=name: workload(name) for name in WORKLOADS},  # type: ignore[misc]
    "GPT-2 124 M step, 4 x 512 tokens": gpt2,
}


# --- times --------------------------------------------------------------------------------------


@contextmanager
def precision(tf32: bool) -> Iterator[None]:
    """fp32 products as they are, or rounded to TF32's operands."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def plain(step: Step, device: torch.device) -> dict[str, Step]:
    """What PyTorch offers for the same step."""

    def tf32() -> object:
        with precision(tf32=True):
            return step()

    def bf16() -> object:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return step()

    def fp32() -> object:
        with precision(tf32=False):
            return step()

    return {"fp32": fp32, "tf32": tf32, "bf16": bf16}


def medians(steps: dict[str, Step], device: torch.device) -> dict[str, float]:
    """Seconds of each, in turn, at least five times."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    end = time.perf_counter() + SECONDS
    while len(times["fp32"]) < 5 or time.perf_counter() < end:
        for name, step in steps.items():
            wait(device)
            start = time.perf_counter()
            step()
            wait(device)
            times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def products(device: torch.device) -> Iterator[tuple[str, dict[str, float]]]:
    for m, n, k in SIZES:
        a, b = torch.randn(m, k, device=device), torch.randn(n, k, device=device)
        steps: dict[str, Step] = {
            f"exact, {bits} bits": lambda a=a, b=b, bits=bits: exact.dot(a, b, bits=bits)
            for bits in BITS
        }
        steps |= plain(lambda a=a, b=b: a @ b.mT, device)  # type: ignore[misc]
        yield f"dot {m}x{n}x{k}", medians(steps, device)


def steps(name: str, device: torch.device) -> dict[str, float]:
    work = made(name)
    batch = [t.to(device) for t in work.batch]
    found: dict[str, Step] = {}
    for bits in BITS:
        program, state = work.capture(bits)
        there = [t.to(device) for t in state]
        found[f"exact, {bits} bits"] = lambda p=program, s=there: p.run(s, batch)  # type: ignore[misc]
    module = copy.deepcopy(work.module).to(device)
    found |= plain(Workload(module, batch, work.loss_fn).plain(), device)
    return medians(found, device)


# --- bits ---------------------------------------------------------------------------------------


def differing(name: str, device: torch.device, bits: int) -> tuple[int, list[str]]:
    """How many nodes a step has, and those whose bits on the device are not the CPU's."""
    whole = made(name)
    work = Workload(whole.module, [t[:1] for t in whole.batch], whole.loss_fn)
    program, state = work.capture(bits)
    here = program.trace(state, work.batch)
    there = program.trace([t.to(device) for t in state], [t.to(device) for t in work.batch])
    wrong = [
        f"{n} {program.nodes[n].name}"
        for n, (a, b) in enumerate(zip(here, there, strict=True))
        if not same(a, b.cpu())
    ]
    return len(here), wrong


def same(a: Tensor, b: Tensor) -> bool:
    if a.dtype == torch.float32:
        a, b = a.contiguous().view(torch.int32), b.contiguous().view(torch.int32)
    return torch.equal(a, b)


# --- the command --------------------------------------------------------------------------------


@click.command()
@click.option("--device", "where", default="cuda", show_default=True)
@click.option("--only", default="", help="Workloads whose name has this in it; `dot` for products.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
@click.option("--save", is_flag=True, help="Keep the document in benchmarks/results.")
def main(where: str, only: str, as_json: bool, save: bool) -> None:
    """Times and bits of exact steps on a GPU."""
    device = torch.device(where)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise click.UsageError(
            "there is no CUDA device; --device cpu tries the command without one"
        )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    names = [n for n in MAKERS if only in n]
    rows = [(n, found) for n, found in products(device)] if only in "dot" else []
    for n in names:
        print(f"{n} ...", file=sys.stderr, flush=True)
        rows.append((n, steps(n, device)))
    traced: list[dict[str, Any]] = []
    for n in names:
        for bits in BITS:
            nodes, wrong = differing(n, device, bits)
            traced.append({"name": n, "bits": bits, "nodes": nodes, "differing": wrong})
    document = {
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        "device": name,
        "machine": machine(),
        "seconds": [{"name": n, **found} for n, found in rows],
        "bits": traced,
    }
    if save:
        target = RESULTS / f"gpu-{re.sub('[^a-z0-9]+', '-', name.lower())}.json"
        target.write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    table = Table(title=f"Seconds on {name}, medians")
    columns = [*(f"exact, {bits} bits" for bits in BITS), "fp32", "tf32", "bf16"]
    for column in ("what", *columns, "14 bits : fp32"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for n, found in rows:
        ratio = found[columns[0]] / found["fp32"]
        table.add_row(n, *(f"{found[c]:.2e}" for c in columns), f"{ratio:.2f}")
    Console().print(table)
    for t in traced:
        verdict = (
            f"{len(t['differing'])} differ: {t['differing'][:5]}" if t["differing"] else "equal"
        )
        click.echo(f"{t['name']}, {t['bits']} bits: {t['nodes']} nodes traced, bits {verdict}")
    if any(t["differing"] for t in traced):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
