"""A task's life as sentences, one for each event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from worker.chain import ZERO_ADDRESS, Event, Task
from worker.chain.events import (
    Assigned,
    Attested,
    BidPlaced,
    Cancelled,
    Challenged,
    ChallengeEnded,
    Condemned,
    DrawArmed,
    Drawn,
    Expired,
    Posted,
    Punished,
    SegmentCommitted,
    Settled,
    VerifierPenalised,
)

Amount = Callable[[int], str]  # the token's smallest units, as people read them
TOLD: dict[type[Event], Callable[[Any, Amount], str]] = {
    Posted: lambda e, a: (
        f"{e.requester} posts {e.job.steps} steps in {e.job.segments} segments for at most "
        f"{a(e.terms.max_price)}, and {a(e.terms.verifier_fee)} for the verifier"
    ),
    BidPlaced: lambda e, a: f"{e.worker} bids {a(e.price)}",
    Assigned: lambda e, a: (
        f"{e.solver} has it for {a(e.price)}, with a stake of {a(e.stake)}, until "
        f"{clock(e.commit_until)}"
    ),
    SegmentCommitted: lambda e, a: (
        f"segment {e.segment} is committed: state {e.state.hex()}, journal {e.journal.hex()}"
    ),
    DrawArmed: lambda e, a: f"word {e.draw_word} draws the verifier",
    Drawn: lambda e, a: (
        f"nobody could be drawn; challenges until {clock(e.window_ends)}"
        if e.verifier == ZERO_ADDRESS
        else f"{e.verifier} is drawn to recompute segments {_segments(e.checked)}, until "
        f"{clock(e.window_ends)}"
    ),
    Attested: lambda e, a: f"{e.verifier} attests that they are right",
    Challenged: lambda e, a: (
        f"{e.challenger} says that segment {e.segment} is wrong, with a bond of {a(e.bond)}: "
        f"dispute {e.dispute}"
    ),
    ChallengeEnded: lambda e, a: (
        f"dispute {e.dispute} is moot; its bond goes back"
        if e.moot
        else f"dispute {e.dispute} is {'won' if e.solver_guilty else 'lost'} by the challenger"
    ),
    Condemned: lambda e, a: f"dispute {e.dispute} condemns it",
    Punished: lambda e, a: (
        f"{a(e.slashed)} of {e.solver}'s stake are slashed: {a(e.to_challenger)} to the "
        f"challenger, {a(e.to_requester)} to the requester, {a(e.burned)} burned"
    ),
    VerifierPenalised: lambda e, a: f"{e.verifier} is fined {a(e.slashed)}",
    Settled: lambda e, a: f"settled: {e.solver} is paid {a(e.price)}",
    Expired: lambda e, a: f"{e.solver} is too late and is fined {a(e.penalty)}",
}


def life(events: Sequence[Event], task: Task, amount: Amount) -> Iterator[str]:
    """A line for each of a task's events, in their order."""
    for event in events:
        if isinstance(event, Cancelled):
            said = f"cancelled: {why_cancelled(events, task)}"
        elif type(event) in TOLD:
            said = TOLD[type(event)](event, amount)
        else:
            said = repr(event)
        yield f"block {event.place.block}: {said}"


def why_cancelled(events: Sequence[Event], task: Task) -> str:
    """What a requester should change before it posts such a task again."""
    bids = sum(isinstance(e, BidPlaced) for e in events)
    if not bids:
        return (
            "no worker bid. Too low a price, too little time, too large a state or no worker "
            "enlisted are the usual reasons: `ape run post ... --dry-run` shows what it would cost"
        )
    return (
        f"{bids} bid{'s' * (bids > 1)} came, and when it was closed no bidder had the stake free, "
        f"or it was closed after {clock(task.commit_until)}, when the time to compute was over"
    )


def clock(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _segments(mask: int) -> str:
    return ", ".join(str(k) for k in range(mask.bit_length()) if mask >> k & 1)
