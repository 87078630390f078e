"""The roles that a config asks for."""

from __future__ import annotations

import threading
from functools import partial

import torch

from worker.chain import Clients
from worker.config import Config
from worker.devices import device_of
from worker.jobs import Computation, NativeComputation
from worker.metrics import Metrics
from worker.roles.base import ComputationOf, Desk, Role
from worker.roles.keeper import Keeper
from worker.roles.news import News
from worker.roles.offers import Offers
from worker.roles.pricing import WorkPrice
from worker.roles.solver import Solver
from worker.roles.turns import Turns
from worker.roles.verifier import Verifier
from worker.store import Store

LANES = ("answers", "checks", "work", "bids")


def build(
    config: Config,
    clients: Clients,
    store: Store,
    *,
    secret: bytes,
    metrics: Metrics,
    stop: threading.Event,
) -> list[Role]:
    """One desk, and on it the roles, those of one lane beside each other.

    Each lane is played on a thread of its own, but for a single round, which is in this order: a
    clock may be running, so answers come first; the keeper comes last, when everything else has
    been done.
    """
    if config.worker.threads:
        torch.set_num_threads(config.worker.threads)
    desk = Desk(
        w3=clients.w3,
        account=clients.address,
        secret=secret,
        market=clients.market,
        disputes=clients.disputes,
        court=clients.court,
        stakes=clients.stakes,
        verifiers=clients.verifiers,
        store=store,
        board=clients.board(
            confirmations=config.chain.confirmations,
            fresh_seconds=min(1.0, config.chain.poll_seconds),
            saved=config.data.folder / "board.json",
        ),
        computation_of=computation_of(config),
        limits=config.jobs,
        folder=config.data.folder,
        rest_seconds=config.chain.poll_seconds,
        move_seconds=lambda: (
            config.chain.poll_seconds + max(config.chain.move_seconds, clients.sender.mean_seconds)
        ),
        turns=Turns(stop, metrics.beat),
        on_event=metrics.on_event,
        on_step=metrics.on_step,
        on_error=lambda error: metrics.errors.labels(type(error).__name__).inc(),
        on_segment=lambda role: metrics.segments.labels(role).inc(),
        on_dispute=lambda role, outcome: metrics.disputes.labels(role, outcome).inc(),
    )
    made: dict[str, Solver | Verifier] = {
        "solver": Solver(desk, pricing_of(config, clients)),
        "verifier": Verifier(desk),
        "challenger": Verifier(desk, volunteer=True),
    }
    if {"verifier", "challenger"} <= set(config.worker.roles):
        del made["verifier"]  # a volunteer does all that a drawn verifier does
    played = [made[name] for name in made if name in config.worker.roles]
    parts = [part for whole in played for part in whole.parts]
    keeper = Keeper(desk, own="keeper" not in config.worker.roles, drand=config.chain.drand)
    clerks = [Offers(desk, config.verifier.units)] if config.worker.verifies else []
    return [*sorted(parts, key=lambda part: LANES.index(part.lane)), *clerks, News(desk), keeper]


def computation_of(config: Config) -> ComputationOf:
    """How steps are computed here. Raises ConfigError for a device that is not there."""
    device = device_of(config.worker.device)
    return partial(NativeComputation, device=device) if config.worker.native else Computation


def pricing_of(config: Config, clients: Clients) -> WorkPrice:
    """What a task costs here."""
    decimals = clients.token.decimals()
    return WorkPrice(config.pricing, decimals, lambda: int(clients.w3.eth.gas_price))
