"""A task's life as sentences, one for each event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from worker.chain import ZERO_ADDRESS, Event, Standing, Task
from worker.chain.events import (
    Accused,
    Assigned,
    Attested,
    BidPlaced,
    BidWithdrawn,
    Cancelled,
    Condemned,
    DataDemanded,
    DrawArmed,
    Drawn,
    Ended,
    Expired,
    FindersPaid,
    Held,
    Posted,
    Punished,
    SegmentCommitted,
    Settled,
    Started,
    Unheld,
    Unsealed,
    VerifierPenalised,
)

Amount = Callable[[int], str]  # the token's smallest units, as people read them
ENDS = {
    Standing.CONVICTING: "is upheld",
    Standing.LOST: "is lost: of its bond the solver has the smallest one, and the rest burns",
    Standing.LAPSED: "was not unsealed in time: its bond burns",
    Standing.MOOT: "is moot, as another was upheld: its bond goes back",
}
TOLD: dict[type[Event], Callable[[Any, Amount], str]] = {
    Posted: lambda e, a: (
        f"{e.requester} posts {e.job.steps} steps in {e.job.segments} segments for at most "
        f"{a(e.terms.max_price)}, and {a(e.terms.verifier_fee)} for the verifier"
    ),
    BidPlaced: lambda e, a: f"{e.worker} bids {a(e.price)}",
    BidWithdrawn: lambda e, a: f"{e.worker} takes its bid back",
    Assigned: lambda e, a: (
        f"{e.solver} has it for {a(e.price)}, with a stake of {a(e.stake)}, until "
        f"{clock(e.commit_until)}"
    ),
    SegmentCommitted: lambda e, a: (
        f"segment {e.segment} is committed: state {e.state.hex()}, journal {e.journal.hex()}"
    ),
    DrawArmed: lambda e, a: f"word {e.draw_word} draws the verifier",
    Drawn: lambda e, a: (
        f"nobody could be drawn; accusations until {clock(e.window_ends)}"
        if e.verifier == ZERO_ADDRESS
        else f"{e.verifier} is drawn to recompute segments {_segments(e.checked)}, until "
        f"{clock(e.window_ends)}"
    ),
    Attested: lambda e, a: f"{e.verifier} attests that they are right",
    Accused: lambda e, a: (
        f"{e.accuser} files accusation {e.number}, sealed, with a bond of {a(e.bond)}{_turn(e)}"
    ),
    DataDemanded: lambda e, a: (
        f"{e.accuser} files accusation {e.number}, with a bond of {a(e.bond)}{_turn(e)}: a leaf of "
        f"the state after segment {e.segment} is to be shown"
    ),
    Unsealed: lambda e, a: f"accusation {e.number} is unsealed: segment {e.segment} is wrong",
    Started: lambda e, a: f"accusation {e.number} is heard: dispute {e.dispute}",
    Ended: lambda e, a: f"accusation {e.number} {ENDS[e.standing]}",
    Held: lambda e, a: "it is held: it neither settles nor expires until every accusation is over",
    Unheld: lambda e, a: "it is held no longer",
    Condemned: lambda e, a: f"it is condemned, for segment {e.segment}",
    Punished: lambda e, a: (
        f"of {e.solver}'s stake {a(e.awarded)} go to who found it, and {a(e.burned)} burn"
    ),
    FindersPaid: lambda e, a: (
        f"{e.convictor} has {a(e.to_convictor)} for the dispute"
        + (f", the verifier {e.verifier} {a(e.to_verifier)}" if e.to_verifier else "")
        + (f", the finder {e.finder} {a(e.to_finder)}" if e.to_finder else "")
    ),
    VerifierPenalised: lambda e, a: f"{e.verifier} is fined {a(e.slashed)}",
    Settled: lambda e, a: f"settled: {e.solver} is paid {a(e.price)}",
    Expired: lambda e, a: f"{e.solver} is too late and is fined {a(e.penalty)}",
}


def _turn(event: Accused | DataDemanded) -> str:
    return ", as the drawn verifier: it is heard next" if event.privileged else ""


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
    if any(isinstance(e, DrawArmed) for e in events):
        return (
            f"nobody drew until {clock(task.draw_until)}, which anyone could have; run a worker "
            "with the role `keeper`"
        )
    bids = [e for e in events if isinstance(e, BidPlaced | BidWithdrawn)]
    if not bids:
        return (
            "no worker bid. Too low a price, too little time, too large a state or no worker "
            "at all are the usual reasons: `ape run post ... --dry-run` shows what it would cost"
        )
    if isinstance(bids[-1], BidWithdrawn):
        return "the best bid was taken back, and nobody bid again"
    return (
        "it had a bid; its requester took it back, or nobody closed it until "
        f"{clock(task.commit_until)}, when the time to compute was over"
    )


def clock(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _segments(mask: int) -> str:
    return ", ".join(str(k) for k in range(mask.bit_length()) if mask >> k & 1)
