"""The two promises of the court, at every function that the program has.

A cheat in one element is condemned; an honest solver accused of one keeps its stake.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch

from tests.games.players import accused
from tests.games.world import ROLES, WEALTH, World, small_training
from worker.chain.errors import ContractError
from worker.chain.events import ElementTried
from worker.chain.types import Phase, Status
from worker.dispute import ChallengerPlayer
from worker.jobs import Computation, Replay
from worker.roles import Keeper, Verifier, load_state
from worker.simulation import WrongElement

FUNCTIONS = sorted({n.name for n in small_training()[0].nodes})
STEP = 5


@cache
def _computation() -> tuple[Computation, list[torch.Tensor]]:
    """The honest computation, and S_STEP."""
    world = World()
    program, state, data = small_training()
    computation = Computation(world.job(), program, data)
    for step in range(STEP):
        state, _ = computation.advance(state, step)
    return computation, state


def outcome(computation: Computation, state: list[torch.Tensor]) -> list[torch.Tensor]:
    """What the segment commits to from STEP on: the state at its end, and every report."""
    reports: list[torch.Tensor] = []
    for step in range(STEP, computation.job.segment_range(STEP // 4).stop):
        state, report = computation.advance(state, step)
        reports += report
    return [*state, *reports]


@cache
def telling(name: str) -> tuple[int, int, int]:
    """Node, element and bit of this function whose flip changes what the segment commits to.

    A flip that is rounded away before the segment ends is no cheat: nobody is worse off.
    """
    program, _, data = small_training()
    honest, state = _computation()
    right = outcome(honest, state)
    generator = torch.Generator().manual_seed(len(name))
    for node in (i for i, n in enumerate(program.nodes) if n.name == name):
        count = program.nodes[node].count
        for element in torch.randperm(count, generator=generator)[:8].tolist():
            for bit in (0, 12, 20, 30):  # the last one takes a random number past a threshold
                cheat = WrongElement(
                    honest.job, program, data, step=STEP, node=node, element=element, bit=bit
                )
                try:
                    found = outcome(cheat, state)
                except ValueError:  # an exponent that no row has
                    continue
                if not all(same(a, b) for a, b in zip(right, found, strict=True)):
                    return node, element, bit
    raise AssertionError(f"no flip in any {name} changes an outcome")


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.view(torch.int32).equal(b.view(torch.int32))


def stake_of(world: World, role: str) -> int:
    stakes = world.desks[role].stakes
    return stakes.free(world.people[role])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_cheat_at_every_kind_of_node_is_condemned(name):
    """Whatever operator the wrong element belongs to, the court recomputes it and slashes."""
    world = World()
    node, element, bit = telling(name)
    cheat = WrongElement.at(step=STEP, node=node, element=element, bit=bit)
    number, solver = world.commit(world.job(), world.desk("solver", computation_of=cheat))
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).status == Status.CONDEMNED
    tried = [e for e in world.desks["outsider"].court.events(0) if isinstance(e, ElementTried)]
    assert [(e.node, e.element) for e in tried] == [(node, element)]
    assert world.all_tokens() == WEALTH * len(ROLES), "tokens are conserved"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_honest_solver_accused_at_every_kind_of_node_keeps_its_stake(name):
    """A liar can make the solver show any element, and then has nothing to prove: it loses its
    bond to the solver, and the solver is paid."""
    world = World()
    node, element, bit = telling(name)
    number, solver = world.commit(world.job(), world.desks["solver"])
    liar = world.desks["outsider"]
    job = world.job()
    segment = STEP // job.segment_steps
    dispute = accused(liar, number, segment)
    program, _, data = small_training()
    first = load_state(world.store, program, liar.market.segment(number, segment - 1).state)
    believed = WrongElement(job, program, data, step=STEP, node=node, element=element, bit=bit)
    player = ChallengerPlayer(liar.court, dispute, Replay(believed, segment, first), 5, STEP)
    refused = None
    for _ in range(80):
        solver.tick()
        at = liar.court.dispute(dispute)
        if at.solver_to_move:
            continue
        try:
            player.move(at, liar.court.events(dispute))
        except ContractError as error:
            refused = error
            break
    assert refused is not None and refused.name == "ElementFollows"
    assert liar.court.dispute(dispute).phase == Phase.PROOF
    world.play(Verifier(world.desks["verifier"]), solver)
    world.chain.mine(seconds=world.system.CLOCK + 1)
    world.play(Keeper(world.desks["requester"]))
    assert not liar.disputes.queue(number).undecided
    world.finish()
    assert world.task(number).status == Status.SETTLED
    assert world.wealth("solver") > WEALTH, "paid, and given the liar's bond"
    assert world.wealth("outsider") == WEALTH - world.system.DISPUTES["bond"]
    assert world.all_tokens() == WEALTH * len(ROLES), "tokens are conserved"
