"""What anyone may call to move a task's accusations on."""

from __future__ import annotations

from collections.abc import Sequence

from worker.chain.types import Accusation, Queue, Standing

MOST_PASSED = 32  # decided accusations that `start` passes by itself


def due(
    queue: Queue, accusations: Sequence[Accusation], now: int, open_time: int
) -> tuple[str, tuple[int, ...]]:
    """The call of `IDisputes`, and its arguments after the task; an empty name where there is none.

    accusations: all that were ever filed. now: unix time of the block that the call will stand in.
    `start` takes the task's job besides.
    """
    waiting = [n for n, a in enumerate(accusations) if not a.standing.is_decided]
    if queue.convicting:
        if not queue.punished and now > queue.convicted_at + open_time:
            return "punish", ()
        moot = (n for n in waiting if not _may_unseal(accusations[n], now, open_time))
        first = next(moot, None)
        return ("dismiss", (first,)) if first is not None else ("", ())
    if not waiting or queue.running:
        return "", ()
    special = [n for n in waiting if accusations[n].privileged]
    if special and accusations[special[0]].standing == Standing.WAITING:
        return "start", ()
    plain = [n for n in waiting if not accusations[n].privileged]
    head = (plain or special)[0]
    if accusations[head].is_sealed:
        return ("", ()) if _may_unseal(accusations[head], now, open_time) else ("lapse", (head,))
    passed = head - queue.head
    return ("advance", (passed,)) if passed > MOST_PASSED else ("start", ())


def _may_unseal(accusation: Accusation, now: int, open_time: int) -> bool:
    """It says nothing yet, and may still."""
    return accusation.is_sealed and now <= accusation.filed_at + open_time
