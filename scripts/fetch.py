"""Fetch what a task has computed, and check it against the chain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import safetensors.torch
from ape.api import ProviderAPI
from rich.console import Console
from torch import Tensor

from scripts._shared import (
    ROOT,
    ChainCommand,
    clients_at,
    debug_option,
    deployment_option,
    json_option,
    one_message,
)
from worker.chain import Job, Market, Status
from worker.commit import state_root
from worker.jobs import (
    GenerationJob,
    InferenceJob,
    JobDefinition,
    JobMismatch,
    StepJob,
    TrainingJob,
    changed,
    in_order,
    output_names,
)
from worker.program import Program
from worker.roles import load_journal, load_program, load_reports
from worker.store import Store, StoreError

# how a training's state calls what is not the module's own
NOT_THE_MODELS = ("optimizer.", "schedule.", "loss.")
BETWEEN = "\n" + "-" * 40 + "\n"


def reports_of(market: Market, store: Store, task: int) -> Iterator[list[Tensor]]:
    """Every step's report, as the task's journals commit to it; a segment in memory at a time."""
    for segment in range(market.task(task).segments):
        journal = load_journal(store, market.segment(task, segment).journal)
        yield from load_reports(store, journal)


def result_of(
    market: Market, store: Store, task: int, program: Program, definition: JobDefinition | None
) -> dict[str, Tensor]:
    """What a task whose segments are all committed has computed, by names.

    The answers in the data set's order, where the program changes no state; else the last state.
    Raises StoreError for what is not there or not what the chain holds, JobMismatch where the
    answers are not one for each row.
    """
    if changed(program):
        last = market.segment(task, market.task(task).segments - 1).state
        state = store.get_tensors("state", last)
        return dict(zip(program.state_names, state, strict=True))
    outputs = in_order(market.job(task), program, reports_of(market, store, task))
    if isinstance(definition, InferenceJob):
        return definition.named(outputs)
    return dict(zip(output_names(len(outputs)), outputs, strict=True))


def check_definition(definition: JobDefinition, job: Job) -> None:
    """Raises ClickException where a task's data set is not this job's."""
    if state_root(definition.tensors) != job.data:
        raise click.ClickException(
            f"the task's data set is {job.data.hex()}, which is not that of the job that was "
            "named: name the one that was posted"
        )


def named_by_its_owner(program: Program, definition: JobDefinition) -> Program:
    """The program with the names that the job's own capture gives its states.

    No hash covers the names in a store: they are those of whoever wrote there last, who could have
    changed two weights of a shape for each other. Raises JobMismatch for another job's states.
    """
    own = definition.capture()
    kept, theirs = (
        [(p.nodes[n].dtype, p.nodes[n].count) for n in p.outputs[: p.state_count]]
        for p in (own, program)
    )
    if kept != theirs:
        raise JobMismatch(
            "the job that was named has other states than the task's program: name the one that "
            "was posted"
        )
    return replace(program, state_names=own.state_names)


def model_of(
    result: dict[str, Tensor], program: Program, definition: JobDefinition | None
) -> dict[str, Tensor]:
    """Of a training's last state what `module.load_state_dict(strict=True)` takes.

    That is known exactly where the job is: names of tied weights, and buffers that a module does
    not save. Without it, all but what optimizer and schedule have added.
    """
    if isinstance(definition, TrainingJob | StepJob):
        return dict(definition.load(list(result.values()), program).state_dict())
    return {name: t for name, t in result.items() if not name.startswith(NOT_THE_MODELS)}


def write(
    out: Path,
    result: dict[str, Tensor],
    program: Program,
    definition: JobDefinition | None,
    everything: bool = False,
) -> str:
    """Writes a text file for a generation whose job is known, else safetensors; says what."""
    if isinstance(definition, GenerationJob):
        texts = definition.texts(list(result.values()), program)
        out.write_text(BETWEEN.join(texts) + "\n")
        return f"{len(texts)} texts"
    if changed(program) and not everything:
        result = model_of(result, program, definition)
    safetensors.torch.save_file({n: t.clone().contiguous() for n, t in result.items()}, out)
    return f"{len(result)} tensors"


def evaluate(
    definition: JobDefinition | None, result: dict[str, Tensor], program: Program
) -> dict[str, float]:
    """What the result is worth, as its owner measures it."""
    if isinstance(definition, TrainingJob | StepJob) and definition.evaluate:
        return definition.evaluate(definition.load(list(result.values()), program))
    if isinstance(definition, InferenceJob) and definition.evaluate:
        return definition.evaluate(result)
    return {}


@click.command(cls=ChainCommand)
@click.argument("task", type=int)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--store", "store_url", default=str(ROOT / ".assay" / "store"), show_default=True)
@click.option(
    "--entry", help="module:function of the job, to read and evaluate the result as its owner does."
)
@click.option(
    "--job",
    "job_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The job file that was posted, for the same.",
)
@click.option("--all", "everything", is_flag=True, help="The whole state: the optimizer's too.")
@deployment_option
@json_option
@debug_option
def cli(
    provider: ProviderAPI,
    task: int,
    out: Path,
    store_url: str,
    entry: str | None,
    job_file: Path | None,
    everything: bool,
    registry: Path,
    as_json: bool,
    debug: bool,
) -> None:
    """Write what TASK has computed to OUT.

    A training's result is the model that it ended with, as safetensors that the module's
    load_state_dict takes (tied weights under all their names where the job is given); --all writes
    the state as it was committed to, with what the optimizer keeps. An inference's are the answers
    in the data set's order; a generation's are its texts where its entry is given, else its last
    state.

    The chain holds what the result hashes to, which is its address in the store: what does not
    hash to it is refused, whoever it came from. Tensors' names are in no hash: name the job, and
    they are its own; without it they are what somebody has written into the store.

    \b
      ape run fetch 0 model.safetensors --entry worker.examples.digits:digits
      ape run fetch 1 embeddings.safetensors --entry worker.examples.minilm:embeddings
      ape run fetch 2 texts.txt --entry worker.examples.generate:generate
    """
    from scripts.post import load_job

    clients = clients_at(provider, registry)
    if task >= clients.market.tasks():
        raise click.BadParameter(f"there are {clients.market.tasks()} tasks, and no {task=}")
    now = clients.market.task(task)
    if now.committed < now.segments:
        raise click.ClickException(
            f"task {task} is {now.status.name.lower()} with {now.committed} of {now.segments} "
            "segments committed: there is no result yet"
        )
    where = str(job_file or entry)
    with one_message(where, debug):
        definition = load_job(job_file, entry, {})[0] if entry or job_file else None
    store = Store(store_url)
    try:
        job = clients.market.job(task)
        if definition is not None:
            check_definition(definition, job)
        program = load_program(store, job.program)
        if definition is not None and changed(program):
            program = named_by_its_owner(program, definition)
        result = result_of(clients.market, store, task, program, definition)
    except (StoreError, JobMismatch) as error:
        raise click.ClickException(str(error)) from error
    said = write(out, result, program, definition, everything)
    with one_message(f"{where}: {out} is written, but its evaluate does not work", debug):
        worth = evaluate(definition, result, program)
    if as_json:
        document: dict[str, Any] = {"task": task, "file": str(out), "program": program.root.hex()}
        click.echo(json.dumps({**document, **worth}))
        return
    console = Console()
    console.print(f"{out}: {said}, as task {task} committed to")
    if now.status != Status.SETTLED:
        console.print(f"[yellow]the task is {now.status.name.lower()}, not settled yet[/yellow]")
    for name, value in worth.items():
        console.print(f"{name}: {value:.2%}")
