"""What a task costs, from the post to the settlement."""

import pytest

from tests.contracts.conftest import DRAW_DELAY, FEE, PRICE

LIFE = 700_000
SEGMENT = 50_000


@pytest.fixture
def live(market, workers, requester, solver, verifier, outsider, chain, at, make_job, make_terms):
    """A whole honest life: the gas of each act."""

    def live(segments, one_by_one=False):
        gas = {}
        job, terms = make_job(steps=10 * segments), make_terms()
        gas["post"] = market.post(job, terms, sender=requester).gas_used
        task = market.tasks() - 1
        gas["bid"] = market.bid(task, PRICE - 1, sender=solver).gas_used
        at(market.task(task).bidUntil + 1)
        gas["close"] = market.close(task, sender=solver).gas_used
        work = [(bytes([1 + i]) * 32, bytes([65 + i]) * 32) for i in range(segments)]
        if one_by_one:
            gas["commit"] = sum(
                market.commitSegment(task, i, *one, sender=solver).gas_used
                for i, one in enumerate(work)
            )
        else:
            gas["commit"] = market.commitSegments(task, 0, work, sender=solver).gas_used
        chain.mine(DRAW_DELAY)
        gas["draw"] = market.draw(task, sender=outsider).gas_used
        gas["attest"] = market.attest(task, sender=verifier).gas_used
        at(market.task(task).windowEnds + 1)
        gas["settle"] = market.settle(task, sender=solver).gas_used
        assert market.credit(verifier) == FEE
        gas["three withdrawals"] = sum(
            market.withdraw(sender=account).gas_used for account in (requester, solver, verifier)
        )
        return gas

    return live


def test_a_task_of_one_segment(live):
    gas = live(1, one_by_one=True)
    print(gas, "life", sum(gas.values()) - gas["three withdrawals"])
    assert sum(gas.values()) - gas["three withdrawals"] <= LIFE


def test_each_segment_more(live):
    """Committed together; a segment on its own pays for a transaction too."""
    few, many = live(2), live(12)
    for name in ("commit", "draw"):
        print(name, few[name], many[name])
    assert sum(many.values()) - sum(few.values()) <= 10 * SEGMENT
