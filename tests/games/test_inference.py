"""Inference and generation through the market: what the requester gets, and cheats about it."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.games.world import ROLES, WEALTH, World
from tests.jobs.test_inference import inference
from tests.program.models import seeded
from worker.chain.events import ElementTried
from worker.chain.types import Status
from worker.examples.generate import GPT
from worker.jobs import GenerationJob, InferenceJob, JobDefinition
from worker.program import Program, inference_state
from worker.roles import Verifier, load_state, put_job
from worker.simulation import WrongElement, WrongReport, WrongState


@cache
def answers() -> tuple[InferenceJob, Program]:
    """Ten rows in three steps and two segments; the last batch is half full."""
    job = inference()
    return job, job.capture()


@cache
def texts() -> tuple[GenerationJob, Program]:
    """Two texts of nine tokens, drawn among the six likeliest: eight steps in three segments."""
    job = GenerationJob(
        decoder=seeded(3, lambda: GPT(width=24, heads=3, layers=1, length=16)),
        prompts=[[5, 9, 2], [7]],
        new_tokens=6,
        segment_steps=3,
        temperature=1.0,
        top_k=6,
        seed=12,
    )
    return job, job.capture()


def honest_tokens() -> list[list[int]]:
    """The texts, by running the program alone."""
    job, program = texts()
    state = job.initial_state()
    for step in range(job.steps):
        state, _ = program.run(state, [], seed=job.seed, step=step)
    return job.tokens(state, program)


def posted(made: tuple[JobDefinition, Program]) -> World:
    """A market with the job's artifacts in its store."""
    job, program = made
    world = World()
    put_job(world.store, program, job.tensors, job.initial_state())
    return world


def solved(made: tuple[JobDefinition, Program]) -> tuple[World, int]:
    """A task of it that an honest worker has solved, and a verifier has attested."""
    job, program = made
    world = posted(made)
    number, solver = world.commit(job.job(program), world.desks["solver"])
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).attested
    return world, number


def in_one_batch() -> list[torch.Tensor]:
    """The answers to all rows at once."""
    job, _ = answers()
    whole = inference(batch_rows=10, segment_steps=1).capture()
    return whole.run(inference_state(job.module), job.tensors)[1][:-1]


def test_the_requester_gets_every_answer_in_the_data_sets_order():
    """The happy story: what is fetched by the chain alone is each row's answer, bit for bit."""
    from scripts.fetch import result_of

    job, program = answers()
    world, number = solved((job, program))
    found = result_of(world.desks["requester"].market, world.store, number, program, job)
    assert list(found) == ["embedding", "word"]
    for ours, expected in zip(found.values(), in_one_batch(), strict=True):
        assert torch.equal(ours, expected.view(ours.shape))


def test_weights_that_no_step_changes_are_stored_once():
    """Protects disks and time: an inference's segments all end with the state that the job
    named."""
    job, program = answers()
    world, number = solved((job, program))
    market = world.desks["requester"].market
    roots = {market.segment(number, s).state for s in range(2)}
    assert roots == {market.job(number).state}
    assert len(list(Path(world.folder.name).glob("state/*/*"))) == 1


def test_answers_that_the_solver_withholds_come_from_the_verifier():
    """Protects requesters: the solver's copy of the answers is gone, the verifier puts its own at
    the same address."""
    from scripts.fetch import result_of

    job, program = answers()
    world = posted((job, program))
    number, solver = world.commit(job.job(program), world.desks["solver"])
    shutil.rmtree(Path(world.folder.name) / "reports")
    world.play(solver, Verifier(world.desks["verifier"]))
    found = result_of(world.desks["requester"].market, world.store, number, program, job)
    assert torch.equal(found["word"], in_one_batch()[1])


def test_a_generation_ends_with_the_texts_of_its_seed(tmp_path):
    """The happy story: the tokens in the last state are those of the program run alone, and the
    requester's file has a text for each prompt."""
    from scripts.fetch import BETWEEN, result_of, write

    job, program = texts()
    world, number = solved((job, program))
    last = world.desks["requester"].market.segment(number, 2).state
    tokens = job.tokens(load_state(world.store, program, last), program)
    assert tokens == honest_tokens()
    assert [len(t) for t in tokens] == [9, 9] and tokens[0][:3] == [5, 9, 2]
    result = result_of(world.desks["requester"].market, world.store, number, program, job)
    assert write(tmp_path / "texts", result, program, job) == "2 texts"
    written = (tmp_path / "texts").read_text().removesuffix("\n").split(BETWEEN)
    assert written == [" ".join(map(str, t)) for t in tokens]


def test_a_result_is_read_as_another_jobs_by_no_mistake(tmp_path):
    """Protects requesters: naming another entry than the one posted is an error, and without any
    the answers are there under plain names."""
    from click import ClickException

    from scripts.fetch import check_definition, result_of, write

    job, program = answers()
    world, number = solved((job, program))
    market = world.desks["requester"].market
    check_definition(job, market.job(number))
    with pytest.raises(ClickException, match="not that of the job that was named"):
        check_definition(texts()[0], market.job(number))
    found = result_of(market, world.store, number, program, None)
    assert list(found) == ["output.0", "output.1"]
    assert write(tmp_path / "out", found, program, None) == "2 tensors"
    assert torch.equal(load_file(tmp_path / "out")["output.1"], found["output.1"])


def last_of(program: Program, name: str) -> int:
    return max(i for i, n in enumerate(program.nodes) if n.name == name)


@cache
def luck(step: int) -> dict[str, int]:
    """A random number, and a bit of it, that decides which token is drawn in a step."""
    job, program = texts()
    named, node = job.job(program), last_of(program, "SOURCE.RANDOM")
    state = job.initial_state()
    for before in range(step):
        state, _ = program.run(state, [], seed=job.seed, step=before)
    _, right = program.run(state, [], seed=job.seed, step=step)
    for element in range(program.nodes[node].count):
        for bit in (22, 25):
            chosen = {"node": node, "element": element, "bit": bit}
            cheat = WrongElement(named, program, job.tensors, step=step, **chosen)
            if not torch.equal(cheat.advance(state, step)[1][0], right[0]):
                return chosen
    raise AssertionError("no random number decides anything")


CHEATS = {
    "an answer's number": (
        answers,
        lambda p: WrongElement.at(step=1, node=p.own_reports[0], element=9, bit=1),
    ),
    "a weight's product": (
        answers,
        lambda p: WrongElement.at(step=2, node=last_of(p, "DOT"), element=3, bit=20),
    ),
    "an answer that the step did not give": (answers, lambda p: WrongReport.at(step=1)),
    "weights that end as others": (
        answers,
        lambda p: WrongState.at(step=1, tensor=0, element=2),
    ),
    "a token": (
        texts,
        lambda p: WrongElement.at(step=4, node=last_of(p, "REDUCE.ARGMAX"), element=1),
    ),
    "luck": (
        texts,
        lambda p: WrongElement.at(step=5, **luck(5)),
    ),
    "what is remembered": (
        texts,
        lambda p: WrongState.at(step=3, tensor=p.state_names.index("cache_1"), element=50),
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_condemned(name):
    """Whatever is wrong, an answer, a draw, the cache or a weight, costs the cheat its stake and
    gives the requester its money back."""
    make, cheat = CHEATS[name]
    job, program = make()
    world = posted((job, program))
    desk = world.desk("solver", computation_of=cheat(program))
    number, solver = world.commit(job.job(program), desk)
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).status == Status.CONDEMNED
    tried = [e for e in world.desks["outsider"].court.events(0) if isinstance(e, ElementTried)]
    assert len(tried) == ("number" in name or name in ("a weight's product", "a token", "luck"))
    world.finish()
    assert world.all_tokens() == WEALTH * len(ROLES), "tokens are conserved"
    assert world.wealth("solver") < WEALTH == world.wealth("requester")
