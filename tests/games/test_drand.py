"""A market that draws by drand: the keeper brings a round that the network has published, and the
draw follows it.

On a node, whose precompiles verify the signature, with a server on this machine for its rounds.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from eth_abi import encode
from eth_utils import keccak

from benchmarks.node import node
from tests.chain.test_words import honest, server
from tests.contracts import drand
from tests.games.world import UNITS, World
from worker.chain.randomness import Word
from worker.chain.types import Status
from worker.roles import Keeper, Solver, Verifier

DELAY = 30
ROUND = 10024141
SEGMENTS, CHECKS = 3, 2
USE_VERIFIER = 256
OTHERS = 3  # units of the outsider
KEEP, DRAW = 174_000, 98_000  # gas; docs/protocol.md has their sum


@pytest.fixture(scope="module")
def servers():
    with server(honest) as url:
        yield [url]


@pytest.fixture(scope="module")
def world():
    """Two stand ready: the verifier, and the outsider, whose keeper serves everybody."""
    with node("--hardfork", "prague") as chain:
        world = World(chain=chain, randomness=("DrandRandomness", DELAY))
        world.system.stand(world.people["outsider"], OTHERS)
        yield world


def armed_for(world: World, number: int) -> int:
    """A task whose draw waits for this round."""
    chain = world.chain
    chain.reach(drand.time_of(number) - DELAY - 1_000)
    chain.mine()
    task = world.post(world.job(), checks=CHECKS)
    solver = Solver(world.desks["solver"], lambda task, *_: task.max_price)
    assert solver.tick()
    chain.mine(seconds=101)
    assert Keeper(world.desks["outsider"]).tick()
    while world.task(task).status == Status.ASSIGNED:
        if world.task(task).committed == SEGMENTS - 1:
            chain.reach(drand.time_of(number) - DELAY - 1)  # the last second before it
        assert solver.tick()
    assert world.task(task).draw_word == number
    return task


def drawn_by(world: World, task: int, word: bytes) -> tuple[str, int]:
    """Whom and what a word draws, by the design alone: hashes, a list of units, Floyd's subsets."""

    def number(use: int, below: int) -> int:
        return int.from_bytes(keccak(encode(["bytes32", "uint256"], [seed, use])), "big") % below

    market = world.system.market
    seed = keccak(encode(["bytes32", "address", "uint256"], [word, market, task]))
    units = [world.people["verifier"]] * UNITS + [world.people["outsider"]] * OTHERS
    mask = 0
    for last in range(SEGMENTS - CHECKS, SEGMENTS):
        bit = 1 << number(last, last + 1)
        mask |= 1 << last if mask & bit else bit
    return units[number(USE_VERIFIER, len(units))], mask


def test_a_keeper_brings_the_round_and_the_draw_follows_it(world, servers):
    """Protects the draw from its word's way: round, signature, word, seed, verifier and segments,
    each by the worker's own client, and the task is paid. Holds what it costs."""
    task, chain = armed_for(world, ROUND), world.chain
    source = world.desks["outsider"].randomness
    without, keeper = (Keeper(world.desks["outsider"], drand=s) for s in ((), servers))
    assert source.stands(ROUND) == Word.NOT_YET and not keeper.tick()
    chain.mine(seconds=DELAY + 10)
    assert source.stands(ROUND) == Word.NOT_KEPT and not without.tick()
    assert keeper.tick()
    assert source.stands(ROUND) == Word.TOLD
    kept = chain.sent[-1]
    assert keeper.tick()
    draw = chain.sent[-1]
    print("keep", kept.gas, "draw", draw.gas)
    assert kept.gas == pytest.approx(KEEP, abs=1_000)
    assert draw.gas == pytest.approx(DRAW, abs=2_000)

    found = world.task(task)
    word = sha256(drand.SIGNATURES[ROUND]).digest()
    assert (found.verifier, found.checked) == drawn_by(world, task, word)
    by_role = {world.people[name]: world.desks[name] for name in ("verifier", "outsider")}
    world.play(Verifier(by_role[found.verifier]))
    assert world.task(task).attested
    chain.mine(seconds=10 * 86_400)
    assert keeper.tick()
    assert world.task(task).status == Status.SETTLED


def test_a_draw_lapses_whose_round_nobody_brings(world, servers):
    """Protects the requester's escrow and the solver's stake where no server has the round in time:
    nothing is sent for it until then, and after the last second everything goes back."""
    missing, chain = ROUND + 10_000_000, world.chain
    world.play(*(Keeper(desk, own=True) for desk in world.desks.values()))  # all that is owed
    requester, solver = (world.wealth(role) for role in ("requester", "solver"))
    task = armed_for(world, missing)
    keeper = Keeper(world.desks["outsider"], drand=servers)
    until, sent = world.task(task).draw_until, len(chain.sent)
    for at in (drand.time_of(missing) + 1, until - 1):
        chain.reach(at)
        chain.mine()
        assert world.desks["outsider"].randomness.stands(missing) == Word.NOT_KEPT
        assert not keeper.tick() and len(chain.sent) == sent
    chain.reach(until + 1)
    chain.mine()
    assert keeper.tick()
    assert world.task(task).status == Status.CANCELLED
    world.play(*(Keeper(desk, own=True) for desk in world.desks.values()))
    assert [world.wealth(role) for role in ("requester", "solver")] == [requester, solver]
