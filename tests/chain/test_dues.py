"""What anyone may call to move a task's accusations on: never what the contract refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.chain.dues import MOST_PASSED, due
from worker.chain.types import ZERO_ADDRESS, Accusation, Queue, Standing

FILED, OPEN = 1_000, 600
IN_TIME, LATE = FILED + OPEN, FILED + OPEN + 1
EMPTY = Queue(0, 0, 0, 0, 0, 0, 0, 0, 0, False)


def one(standing: Standing, privileged: bool = False) -> Accusation:
    return Accusation(ZERO_ADDRESS, FILED, 1, 0, standing, privileged, False, 10, bytes(32))


SEALED, WAITING, LOST = one(Standing.SEALED), one(Standing.WAITING), one(Standing.LOST)
OWN = one(Standing.WAITING, privileged=True)
OWN_SEALED = one(Standing.SEALED, privileged=True)


@pytest.mark.parametrize(
    ("filed", "now", "expected"),
    [
        ([], LATE, ("", ())),
        ([LOST], LATE, ("", ())),
        ([WAITING], IN_TIME, ("start", ())),
        ([LOST, WAITING], IN_TIME, ("start", ())),
        # the head is waited for as long as it may say something, and then ends
        ([SEALED, WAITING], IN_TIME, ("", ())),
        ([SEALED, WAITING], LATE, ("lapse", (0,))),
        ([LOST, SEALED], LATE, ("lapse", (1,))),
        # the drawn verifier's goes next, once it says something
        ([SEALED, OWN], IN_TIME, ("start", ())),
        ([WAITING, OWN_SEALED], IN_TIME, ("start", ())),
        ([OWN_SEALED], IN_TIME, ("", ())),
        ([OWN_SEALED], LATE, ("lapse", (0,))),
    ],
)
def test_what_is_due_while_nobody_is_heard(filed, now, expected):
    assert due(EMPTY, filed, now, OPEN) == expected


@pytest.mark.parametrize("filed", [[WAITING], [SEALED], [OWN]])
def test_while_one_is_heard_nothing_is_due(filed):
    assert due(replace(EMPTY, running=1), filed, LATE, OPEN) == ("", ())


@pytest.mark.parametrize(("passed", "what"), [(MOST_PASSED, "start"), (MOST_PASSED + 1, "advance")])
def test_more_decided_ones_than_a_start_passes_are_passed_first(passed, what):
    """Protects whoever waits: a start that had to pass more would be refused."""
    told = due(EMPTY, [LOST] * passed + [WAITING], LATE, OPEN)
    assert told == (what, (passed,) if what == "advance" else ())
    moved = replace(EMPTY, head=1)
    assert due(moved, [LOST] * (MOST_PASSED + 1) + [WAITING], LATE, OPEN) == ("start", ())


CONVICTED = replace(EMPTY, convicting=1, convicted_at=2_000)
WON = one(Standing.CONVICTING)


@pytest.mark.parametrize(
    ("filed", "now", "expected"),
    [
        # who waits is moot at once; who is sealed may still say what it found
        ([WON, WAITING], 2_001, ("dismiss", (1,))),
        ([WON, replace(SEALED, filed_at=1_900)], 2_001, ("", ())),
        ([WON, replace(SEALED, filed_at=1_900), WAITING], 2_001, ("dismiss", (2,))),
        ([WON, replace(SEALED, filed_at=1_900)], 2_501, ("dismiss", (1,))),
        ([WON], 2_000 + OPEN, ("", ())),
        ([WON, WAITING], 2_000 + OPEN + 1, ("punish", ())),
    ],
)
def test_what_is_due_after_a_conviction(filed, now, expected):
    """Protects finders: they are paid when all that had filed could show what, and no earlier."""
    assert due(CONVICTED, filed, now, OPEN) == expected


def test_a_punished_task_is_only_cleared():
    done = replace(CONVICTED, punished=True)
    assert due(done, [WON, WAITING], 9_000, OPEN) == ("dismiss", (1,))
    assert due(done, [WON, LOST], 9_000, OPEN) == ("", ())
