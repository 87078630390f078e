"""What posting a job costs, checked and shown. ape runs the scripts without an underscore."""

from __future__ import annotations

from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table

from scripts._clock import Clock, bounds, window_of
from worker.chain import Clients
from worker.chain.amounts import parse, shown
from worker.jobs.estimate import Estimate, duration
from worker.jobs.jobfile import MarketSection
from worker.program.cost import count, size


def _units(name: str, amount: float, decimals: int) -> int:
    """Tokens of a job's file or of the command line; refused where the token cannot pay them."""
    if amount == 0:
        return 0
    try:
        return parse(repr(amount), decimals)
    except ValueError as error:
        raise click.ClickException(f"{name}: {error}, which are this token's") from None


@dataclass(frozen=True)
class Cost:
    """What a job's terms come to, in the token's smallest units."""

    price: int
    fee: int
    decimals: int
    symbol: str
    solver_stake: int
    liability: int

    @classmethod
    def of(cls, clients: Clients, market: MarketSection, segments: int) -> Cost:
        decimals = clients.token.decimals()
        price = _units("market.price", market.price, decimals)
        fee = _units("market.fee", market.fee, decimals)
        return cls(
            price,
            fee,
            decimals,
            clients.token.symbol(),
            clients.market.solver_stake(price, segments, market.checks or segments),
            clients.market.liability(fee),
        )

    @property
    def escrow(self) -> int:
        return self.price + self.fee

    def tokens(self, amount: int) -> str:
        return f"{shown(amount, self.decimals)} {self.symbol}"

    @staticmethod
    def check_terms(clients: Clients, market: MarketSection) -> None:
        """Raises where the market would refuse the terms, before anything is spent."""
        rules = clients.market.parameters()
        if market.bid_seconds > rules.max_bid_time:
            raise click.ClickException(
                f"market.bid_seconds = {market.bid_seconds}: this market asks for at most "
                f"{rules.max_bid_time}, as a bid locks a stake; write that or less"
            )
        for name, least in (
            ("bid_seconds", rules.min_bid_time),
            ("commit_seconds", rules.min_commit_time),
        ):
            if getattr(market, name) < least:
                raise click.ClickException(
                    f"market.{name} = {getattr(market, name)}: this market asks for at least "
                    f"{least}; write that or more"
                )

        if market.clock is not None:
            bounds(clients, market.clock, f"market.clock = {market.clock}")

    def check_balance(self, clients: Clients, market: MarketSection, payer: str) -> None:
        """Raises where the payer has less than goes in escrow, before anything is spent."""
        has = clients.token.balance_of(payer)
        if has < self.escrow:
            raise click.ClickException(
                f"market.price = {market.price:g}, market.fee = {market.fee:g}: {payer} has "
                f"{self.tokens(has)}, and {self.tokens(self.escrow)} go in escrow; pay less, or "
                "get tokens first"
            )

    def rows(self, found: Estimate) -> list[tuple[str, str]]:
        """What people want to read."""
        each = self.price / found.work_units * 1e12 / 10**self.decimals
        return [
            (
                "price",
                f"{self.tokens(self.price)} at most, {self.tokens(self.fee)} for the verifier: "
                f"{self.tokens(self.escrow)} in escrow",
            ),
            ("", f"{each:,.6g} {self.symbol} for 1 T work units"),
            (
                "stake",
                f"{self.tokens(self.solver_stake)} of the solver at that price, "
                f"the verifier answers with its units for {self.tokens(self.liability)}",
            ),
        ]


def until_settled(market: MarketSection, segments: int, clock: int) -> str:
    """How long a task takes on the chain, beside the computing itself."""
    window = window_of(clock, market.checks or segments)
    return (
        f"bids are taken for {duration(market.bid_seconds)}, and after the draw anyone may accuse "
        f"for {duration(window)}: it settles {duration(market.bid_seconds + window)} later than "
        "the computing alone would take"
    )


def show(
    found: Estimate, cost: Cost | None, clock: Clock | None, market: MarketSection, why: str
) -> None:
    """The estimate as tables. cost: None where there is no market; `why` says so."""
    console = Console()
    table = Table(show_header=False, title="One step, and the whole job", box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [*found.rows(), *(cost.rows(found) if cost else [("price", f"unknown: {why}")])]
    if clock is not None:
        rows += [("clock", f"{clock.seconds} s for each side in a dispute"), ("", clock.said)]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    kinds = Table(title="A step by kind of node", box=None)
    for column in ("kind", "nodes", "FLOPs", "bytes moved"):
        kinds.add_column(column, justify="left" if column == "kind" else "right")
    for kind, share in found.summary.shares.items():
        kinds.add_row(kind, str(share.nodes), count(share.flops), size(share.bytes))
    console.print(kinds)
    if found.seconds > market.commit_seconds / 2:
        console.print(
            f"[yellow]market.commit_seconds = {market.commit_seconds}: this machine would need "
            f"{duration(found.seconds)}, and a worker bids only where half of the time does for it "
            f"and for all else that it has promised: give at least {4 * found.seconds:.0f}[/yellow]"
        )
    console.print("Nothing was sent.")
