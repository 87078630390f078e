"""What a draw and an offer cost in a crowd of ten thousand that stand ready: on a node, whose gas
is what a chain would charge."""

from __future__ import annotations

import pytest
from eth_abi import encode
from eth_utils import keccak

from benchmarks.node import node
from tests.games.transcripts import job_of
from tests.revm import Deployed, address_of
from worker.chain.events import Posted
from worker.chain.types import Segment, Status, Terms

CROWD = 10_000  # verifiers of a unit each
DRAW, OFFER = 150_000, 280_000
LEVELS, CHANGED = 5, 25_000  # of each level's node, where sixty below it have offered since
AT_ONCE = 50  # that come in one block
SOLVER, DRAWER = address_of("solver"), address_of("drawer")


class Crowded:
    def __init__(self, chain) -> None:
        self.chain, self.system = chain, Deployed(chain=chain)
        self.crowd = chain.deploy("Crowd", self.system.verifiers)
        for name in (SOLVER, DRAWER):
            hand = self.system.clients(name)
            hand.token.mint(name, 10**6)
            for spender in (self.system.market, self.system.stakes):
                hand.token.approve(spender, 10**6)
            hand.stakes.deposit(10**5)
            hand.stakes.approve_locker(self.system.market)
            hand.stakes.approve_locker(self.system.verifiers)
        for _ in range(CROWD // AT_ONCE):
            self.grow(AT_ONCE)

    def grow(self, count: int) -> None:
        call = keccak(text="grow(uint256)")[:4] + encode(["uint256"], [count])
        self.chain.send(DRAWER, self.crowd, call, "crowd.grow")

    def armed(self) -> int:
        """A task whose draw is armed."""
        solver, requester = self.system.clients(SOLVER), self.system.clients(DRAWER)
        job, now = job_of(0), self.chain.time
        terms = Terms(1_000, 300, now + 100, now + 1_000, 1, Deployed.CLOCK)
        number = requester.market.post(job, terms).one(Posted).task
        solver.market.bid(number, 1_000)
        self.chain.mine(seconds=101)
        solver.market.close(number)
        work = [Segment(b"\x05" * 32, b"\x06" * 32)] * job.segments
        solver.market.commit_segments(number, 0, work)
        self.chain.mine(3)
        return number

    @property
    def gas(self) -> int:
        return self.chain.sent[-1].gas


@pytest.fixture(scope="module")
def crowded():
    with node() as chain:
        yield Crowded(chain)


@pytest.mark.parametrize("later, most", [(0, DRAW), (1, DRAW), (60, DRAW + LEVELS * CHANGED)])
def test_a_draw_in_a_crowd(crowded, later, most):
    """Protects whoever draws: the tree is as deep as the crowd's logarithm, and what has happened
    since the arming, be it sixty offers in as many blocks, costs their logarithm more on the way
    to whoever is drawn."""
    number = crowded.armed()
    for _ in range(later):
        crowded.grow(1)
    market = crowded.system.clients(DRAWER).market
    market.draw(number)
    print("draw", later, crowded.gas)
    assert crowded.gas <= most
    task = market.task(number)
    assert task.status == Status.VERIFYING and int(task.verifier, 16)


def test_an_offer_in_a_crowd(crowded):
    """Protects whoever stands ready: coming, changing and leaving is one path of the tree."""
    verifiers = crowded.system.clients(SOLVER).verifiers
    for units in (1, 2, 0):
        verifiers.offer(units)
        print("offer", units, crowded.gas)
        assert crowded.gas <= OFFER
