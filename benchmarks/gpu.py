"""Exact steps on a GPU beside plain PyTorch in fp32, TF32 and bf16, and beside the CPU's bits.

python -m benchmarks.gpu [--json] [--save] [--device cuda] [--only NAME] [--programs FOLDER]

Every product and step is run in turn with the others in one process; times are medians. Then one
step of each workload, of one row of its batch, is traced on the CPU and on the GPU, and the bits of
every node are compared; what the compiled step gives is compared with the CPU's trace as well. With
--save the document goes into benchmarks/results/gpu-NAME.json. Capturing takes minutes and needs no
GPU: with --programs a captured program is kept in that folder, and taken from there the next time.
"""

from __future__ import annotations

import copy
import gc
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
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
from worker.program import Program, inference_state, training_state

RESULTS = Path(__file__).parent / "results"
BITS = (14, 20)
SECONDS = 2.0
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


def made(name: str, rows: int | None = None) -> Workload:
    """A workload, the same in every process. rows: of its batch, by default all."""
    torch.manual_seed(0)
    whole = MAKERS[name]()
    return Workload(whole.module, [t[:rows] for t in whole.batch], whole.loss_fn)


def captured(work: Workload, name: str, bits: int, kept: Path | None) -> Program:
    """The program of a workload's step: captured, or what `kept` has of an earlier capture."""
    if kept is None:
        return work.capture(bits)[0]
    rows = work.batch[0].shape[0]
    path = kept / f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{rows}-rows-{bits}-bits.json"
    if path.exists():
        return Program.load(path)
    program, _ = work.capture(bits)
    kept.mkdir(parents=True, exist_ok=True)
    program.save(path)
    return program


def first_state(work: Workload) -> list[Tensor]:
    """What a workload's program starts from."""
    if work.loss_fn is None:
        return inference_state(work.module)
    return training_state(work.module, work.optimizer(work.module))


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


def steps(name: str, device: torch.device, kept: Path | None) -> dict[str, float]:
    work = made(name)
    batch = [t.to(device) for t in work.batch]
    state = [t.to(device) for t in first_state(work)]
    found: dict[str, Step] = {}
    for bits in BITS:
        program = captured(work, name, bits, kept)
        start = time.perf_counter()
        program.compile(device)
        program.run(state, batch)
        wait(device)
        print(f"  {bits} bits: ready in {time.perf_counter() - start:.1f} s", file=sys.stderr)
        found[f"exact, {bits} bits"] = lambda p=program: p.run(state, batch)  # type: ignore[misc]
    module = copy.deepcopy(work.module).to(device)
    found |= plain(Workload(module, batch, work.loss_fn).plain(), device)
    return medians(found, device)


def memory(name: str, device: torch.device, kept: Path | None) -> dict[str, float]:
    """Peak megabytes of two steps in a row, the model and all else included: exact with 14 bits,
    and plain fp32."""

    def exactly() -> Step:
        work = made(name)
        program = captured(work, name, BITS[0], kept)
        program.compile(device)
        states = [[t.to(device) for t in first_state(work)]]
        batch = [t.to(device) for t in work.batch]

        def run() -> None:
            for _ in range(2):
                states.append(program.run(states.pop(), batch, donate=True)[0])  # as a worker does

        return run

    def plainly() -> Step:
        work = made(name)
        module, batch = work.module.to(device), [t.to(device) for t in work.batch]
        step = plain(Workload(module, batch, work.loss_fn).plain(), device)["fp32"]
        return lambda: (step(), step())

    return {"exact": peak(exactly, device), "fp32": peak(plainly, device)}


def peak(make: Callable[[], Step], device: torch.device) -> float:
    """Megabytes that a run takes at most, with what was made for it."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    run = make()
    gc.collect()
    torch.cuda.reset_peak_memory_stats(device)
    run()
    wait(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 1e6


# --- bits ---------------------------------------------------------------------------------------


def differing(
    name: str, device: torch.device, bits: int, kept: Path | None
) -> tuple[int, list[str]]:
    """How many nodes a step has, and those whose bits on the device are not the CPU's: traced, and
    of the compiled step the outputs."""
    work = made(name, rows=1)
    program, state = captured(work, name, bits, kept), first_state(work)
    there = [[t.to(device) for t in tensors] for tensors in (state, work.batch)]
    program.compile(device)
    outputs = [t for part in program.run(*there) for t in part]
    wrong, last = [], {}
    both = zip(program.walk(state, work.batch), program.walk(*there), strict=True)
    for (n, a), (_, b) in both:
        if not same(a.to(device), b):
            wrong.append(f"{n} {program.nodes[n].name}")
        if n in program.outputs:
            last[n] = a
    for n, output in zip(program.outputs, outputs, strict=True):
        if not same(last[n].to(device), exact.canonical(output)):
            wrong.append(f"compiled {n} {program.nodes[n].name}")
    return len(program.nodes), wrong


def same(a: Tensor, b: Tensor) -> bool:
    if a.dtype == torch.float32:
        a, b = a.contiguous().view(torch.int32), b.contiguous().view(torch.int32)
    return torch.equal(a.flatten(), b.flatten())


# --- the command --------------------------------------------------------------------------------


@click.command()
@click.option("--device", "where", default="cuda", show_default=True)
@click.option("--only", default="", help="Workloads whose name has this in it; `dot` for products.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
@click.option("--save", is_flag=True, help="Keep the document in benchmarks/results.")
@click.option(
    "--programs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep captured programs in this folder, and take them from it.",
)
@click.option("--capture", is_flag=True, help="Only capture what --programs lacks; needs no GPU.")
def main(
    where: str, only: str, as_json: bool, save: bool, programs: Path | None, capture: bool
) -> None:
    """Times and bits of exact steps on a GPU."""
    names = [n for n in MAKERS if only in n]
    if capture:
        for n in names:
            for rows in (None, 1):
                for bits in BITS:
                    captured(made(n, rows), n, bits, programs)
        return
    device = torch.device(where, 0) if where == "cuda" else torch.device(where)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise click.UsageError(
            "there is no CUDA device; --device cpu tries the command without one"
        )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    rows = [(n, found) for n, found in products(device)] if only in "dot" else []
    for n in names:
        print(f"{n} ...", file=sys.stderr, flush=True)
        rows.append((n, steps(n, device, programs)))
    peaks = {n: memory(n, device, programs) for n in names} if device.type == "cuda" else {}
    traced: list[dict[str, Any]] = []
    for n in names:
        for bits in BITS:
            print(f"{n}, {bits} bits: tracing ...", file=sys.stderr, flush=True)
            nodes, wrong = differing(n, device, bits, programs)
            traced.append({"name": n, "bits": bits, "nodes": nodes, "differing": wrong})
    document = {
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        "device": name,
        "machine": {**machine(), "cuda": torch.version.cuda, "triton": version("triton")},
        "seconds": [{"name": n, **found} for n, found in rows],
        "peak_megabytes": [{"name": n, **found} for n, found in peaks.items()],
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
    for n, found in peaks.items():
        ratio = found["exact"] / found["fp32"]
        click.echo(f"{n}: at most {found['exact']:.0f} MB, fp32 {found['fp32']:.0f}: {ratio:.2f}")
    for t in traced:
        verdict = (
            f"{len(t['differing'])} differ: {t['differing'][:5]}" if t["differing"] else "equal"
        )
        click.echo(f"{t['name']}, {t['bits']} bits: {t['nodes']} nodes traced, bits {verdict}")
    if any(t["differing"] for t in traced):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
