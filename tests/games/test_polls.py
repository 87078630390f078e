"""What a look at the market costs a worker in calls of its node, when there is nothing to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.chain.test_board import cost, served
from tests.games.players import at_max_price
from tests.games.world import World
from worker.chain import Board
from worker.chain.contracts import Stakes, Verifiers
from worker.roles import Desk, Keeper, Solver, Verifier


def roles_over_http(world, w3, market, disputes, court):
    """A solver, a verifier and a keeper who know the chain through a node alone."""
    sender: Any = None
    me = world.people["solver"]
    board = Board(w3, market, disputes, court, account=me, fresh_seconds=1.0, clock=lambda: now[0])
    now = [0.0]
    stakes = Stakes(w3, world.system.stakes, sender, {}, 0)
    units = Verifiers(w3, world.system.verifiers, sender, {}, 0)
    parts = (market, disputes, court, stakes, units, world.store, board)
    desk = Desk(w3, me, b"s" * 32, *parts, rest_seconds=30.0)
    roles = [Solver(desk, at_max_price), Verifier(desk, volunteer=True), Keeper(desk, own=True)]

    def poll():
        """One round; whoever fails with a task has said so, and the others go on."""
        now[0] += 5.0
        for role in roles:
            for part in getattr(role, "parts", [role]):
                try:
                    assert not part.tick()
                except Exception as error:
                    assert "artifact" in str(error) or "there is no" in str(error), error

    return poll


def test_an_idle_poll_is_at_most_three_calls():
    """Protects a worker and its provider from strangers' tasks: what is over, and what is posted
    with nothing behind it, cost nothing when it is looked at again."""
    world = World()
    for seed in range(20):
        world.post(replace(world.job(), seed=seed))
    world.chain.mine(seconds=101)
    for number in range(20):
        world.desks["outsider"].market.close(number)
    with served(world) as (w3, market, disputes, court, node):
        poll = roles_over_http(world, w3, market, disputes, court)
        poll(), poll()
        assert cost(node, poll) == 1  # the tip
        world.chain.mine()
        assert cost(node, poll) <= 3  # the tip, its logs, what the market owes

        for seed in range(120):
            world.post(replace(world.job(), program=b"nowhere!" * 4, seed=seed))
        first = cost(node, poll)
        assert first <= 3 + 2 + 2 + 1 + 3  # batches of 100: the tasks, their bids; and the stake
        assert cost(node, poll) == 1
        world.chain.mine()
        assert cost(node, poll) <= 3
