"""The examples' job files give the examples' jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worker.commit import state_root
from worker.examples import generate, minilm
from worker.jobs import GenerationJob, JobDefinition
from worker.jobs.jobfile import JobFile

EXAMPLES = Path(generate.__file__).parent


def job_of(name: str) -> JobDefinition:
    """The job of a file, its entry taken from the package, where its models are made already."""
    file = JobFile.load(EXAMPLES / f"{name}.toml")
    assert file.job.entry == f"{name}.py:recipe"
    entry = f"worker.examples.{name}:recipe"
    return replace(file, job=replace(file.job, entry=entry)).definition()


def same(job: JobDefinition, other: JobDefinition) -> bool:
    """Whether both are one job but for their programs, which take long to capture."""
    hashes = [(state_root(j.tensors), state_root(j.initial_state())) for j in (job, other)]
    numbers = [(j.rows, j.steps, j.segment_steps, j.seed) for j in (job, other)]
    return hashes[0] == hashes[1] and numbers[0] == numbers[1]


def test_generate():
    job = job_of("generate")
    assert same(job, generate.generate())
    assert isinstance(job, GenerationJob)
    assert (job.temperature, job.top_k, job.bits) == (0.7, 8, 14)


def test_minilm():
    assert same(job_of("minilm"), minilm.embeddings())
