"""The demo tells a true story: what it says at its end is what happened on its chain."""

from __future__ import annotations

import pytest
from rich.console import Console

from worker.store import Store

STEPS, SEGMENT_STEPS = 40, 10


@pytest.fixture(scope="module")
def story(chain, tmp_path_factory):
    """(the two acts' outcomes, gas by call), told once on ape's chain in memory."""
    from scripts._story import tell

    store = Store(str(tmp_path_factory.mktemp("store")))
    return tell(Console(quiet=True), store, STEPS, SEGMENT_STEPS)


@pytest.fixture(scope="module")
def honest(story):
    return story[0][0]


@pytest.fixture(scope="module")
def caught(story):
    return story[0][1]


def test_the_honest_act_settles(honest):
    """The worker and its verifier are paid by the requester, to the last unit, and nobody else."""
    assert honest.status == "settled"
    assert not honest.dispute
    assert sum(honest.gains.values()) == 0, "tokens are conserved"
    assert honest.gains["requester"] < 0 < honest.gains["alice"]
    assert sorted(gain > 0 for gain in honest.gains.values()) == [False, False, True, True]


def test_the_model_is_fetched_and_has_learned(honest):
    """What was paid for is in the store, and better than guessing one of ten digits."""
    (accuracy,) = honest.model.values()
    assert 0.2 < accuracy <= 1


def test_the_cheat_is_condemned(caught):
    """The cheat loses its stake: the verifier has the finders' part of it, the rest burns, and the
    requester has its escrow back and nothing more."""
    dispute = caught.dispute
    assert caught.status == "condemned"
    assert caught.gains["mallory"] == -dispute["slashed"] < 0
    assert caught.gains["requester"] == 0
    assert sum(caught.gains.values()) == -dispute["burned"] < 0, "tokens are conserved"
    assert dispute["slashed"] == dispute["to_finders"] + dispute["burned"]
    assert [gain for gain in caught.gains.values() if gain > 0] == [dispute["to_finders"]]


def bits(shown: str) -> int:
    """`1.5 (0x3fc00000)` as the demo shows a value."""
    return int(shown.split("(")[1].rstrip(")"), 16)


def test_the_court_tried_the_element_that_was_tampered_with(caught):
    """Of some hundred thousand values of one step, the one bit that was flipped is found."""
    from scripts._story import gradient_of
    from worker.examples.digits import digits

    program = digits(steps=STEPS, segment_steps=SEGMENT_STEPS).capture()
    dispute = caught.dispute
    assert (dispute["node"], dispute["element"]) == (gradient_of(program), 1234)
    assert dispute["operator"] == "DOT"
    assert bits(dispute["committed"]) ^ bits(dispute["recomputed"]) == 1 << 22
    assert dispute["rounds"] <= 10, "what DESIGN.md promises"


def test_the_dispute_costs_what_was_promised(story):
    """Both sides of the dispute together stay below the gas that DESIGN.md names."""
    _, gas = story
    court = sum(sum(used) for call, used in gas.items() if call.startswith("court."))
    assert 0 < court <= 3_000_000
    assert max(gas["court.proveElement"]) <= 1_000_000
