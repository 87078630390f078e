"""Tokens as they are out there: amounts are exact, and what a token refuses is told."""

from typing import Any

import pytest

from tests.revm import RevmChain, RevmSender, address_of
from worker.chain import ChainError, ContractError
from worker.chain.amounts import parse, shown
from worker.chain.contracts import Stakes, Token

ME, SPENDER, OTHER = (address_of(name) for name in ("me", "spender", "other"))


@pytest.fixture
def stern():
    """A token of six decimals that returns nothing, gives no reasons, and is strict about
    allowances; and stakes in it."""
    chain = RevmChain()
    address = chain.deploy("SternToken")
    stakes = chain.deploy("Stakes", address, 86_400)
    w3: Any = chain
    sender: Any = RevmSender(chain, ME)
    names = {address: "Token", stakes: "Stakes"}
    token = Token(w3, address, sender, names, 0)
    token.mint(ME, 5_000_000)
    return token, Stakes(w3, stakes, sender, names, 0)


def test_an_allowance_goes_by_way_of_nothing(stern):
    """Protects a second post, or a second `stake`, with a token that takes no other change."""
    token, _ = stern
    with pytest.raises(ContractError):
        token.approve(SPENDER, 5), token.approve(SPENDER, 7)
    assert token.ensure_allowance(SPENDER, 7) is not None
    assert token.allowance(ME, SPENDER) == 7
    assert token.ensure_allowance(SPENDER, 7) is None
    assert token.ensure_allowance(SPENDER, 6) is None


def test_stakes_of_a_token_that_returns_nothing(stern):
    token, stakes = stern
    token.ensure_allowance(stakes.address, 3_000_000)
    stakes.deposit(3_000_000)
    assert (stakes.free(ME), token.balance_of(ME)) == (3_000_000, 2_000_000)


def test_a_token_with_another_symbol_has_one(stern):
    token, _ = stern
    assert (token.symbol(), token.decimals()) == ("STERN", 6)


def test_a_token_that_only_says_yes_is_refused(stern, monkeypatch):
    token, _ = stern
    monkeypatch.setattr(token, "approve", lambda spender, amount: None)
    with pytest.raises(ChainError, match=r"took approve\(spender=.*amount=9\) and did not"):
        token.ensure_allowance(SPENDER, 9)


def test_a_revert_without_a_reason_tells_what_was_tried(stern):
    token, stakes = stern
    with pytest.raises(ContractError) as refused:
        token.transfer(OTHER, 10**9)
    said = str(refused.value)
    assert f"recipient={OTHER}" in said or f"to={OTHER}" in said
    assert "amount=1000000000" in said or "value=1000000000" in said
    assert f"at {token.address} by {ME}" in said and "it gives no reason" in said
    with pytest.raises(ContractError, match=rf"stakes.deposit\(amount=5\).*by {ME}.*the token"):
        stakes.deposit(5)  # the token's refusal, through another contract


@pytest.mark.parametrize(
    "text, decimals, units",
    [
        ("1", 6, 1_000_000),
        ("0.000001", 6, 1),
        ("1e-6", 6, 1),
        ("12.5", 18, 12_500_000_000_000_000_000),
        ("100.0", 0, 100),
        ("1234567890123456789012345678.000001", 6, 1234567890123456789012345678000001),
    ],
)
def test_amounts_are_exact_both_ways(text, decimals, units):
    assert parse(text, decimals) == units
    assert parse(shown(units, decimals), decimals) == units


@pytest.mark.parametrize("text", ["0.0000001", "1e-7", "1.2345678", "0", "-1", "nan", "inf"])
def test_what_a_token_cannot_pay_is_refused(text):
    """Protects from a price that would be rounded, to 0 in the worst case."""
    with pytest.raises(ValueError, match="above 0, with at most 6 decimals"):
        parse(text, 6)


@pytest.mark.parametrize("text", ["", "x", "1/3", "1,5", "0x10"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="is no number"):
        parse(text, 6)


def test_a_huge_exponent_takes_no_memory():
    with pytest.raises(ValueError, match="above 0"):
        parse("1e999999999", 6)


@pytest.mark.parametrize(
    "units, decimals, text",
    [
        (1, 6, "0.000001"),
        (1_500_000, 6, "1.5"),
        (0, 6, "0"),
        (7, 0, "7"),
        (-1_500_000, 6, "-1.5"),
        (10**30 + 1, 18, "1000000000000.000000000000000001"),
    ],
)
def test_amounts_are_shown_with_all_their_decimals(units, decimals, text):
    assert shown(units, decimals) == text


def test_a_jobs_price_that_the_token_cannot_pay_is_refused_by_name():
    import click

    from scripts._cost import _units

    assert _units("market.price", 0.000001, 6) == 1
    assert _units("market.fee", 0.0, 6) == 0
    for price in (1e-7, 1.2345678):
        with pytest.raises(click.ClickException, match=r"market\.price: .*at most 6 decimals"):
            _units("market.price", price, 6)
