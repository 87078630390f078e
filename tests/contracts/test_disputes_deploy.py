"""Parameters of disputes under which nobody honest would be safe are refused."""

import pytest
from eth_utils import keccak

from tests import evm
from tests.contracts.conftest import NOBODY, PARAMETERS
from tests.contracts.world import World


class Chain(World):
    """Markets and disputes with other parameters, without people."""

    def __init__(self, **changes):
        self.changes = changes
        super().__init__(0)

    def _deploy(self, name, *given):
        changes = self.changes
        if name == "Market":
            *addresses, disputes = given[0][:5]
            values = {k: changes.get(k, v) for k, v in PARAMETERS.items()}
            given = ((*addresses, changes.get("disputes", disputes), *values.values()),)
        if name == "Verifiers":
            market, stakes, unit, time = given
            given = (market, stakes, changes.get("unitStake", unit), time)
        if name == "Disputes":
            market, court, *rest = given
            named = dict(zip(("openTime", "finderBps", "bond"), rest, strict=True))
            rest = [changes.get(k, v) for k, v in named.items()]
            given = (changes.get("market", market), changes.get("court", court), *rest)
        return super()._deploy(name, *given)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("openTime", {"openTime": 0}),
        ("openTime", {"openTime": 149, "minClock": 600}),  # a quarter is 150
        ("bond", {"bond": 0}),
        ("finderBps", {"bond": 16}),  # 30 of 100 are two bonds of 15
        ("finderBps", {"finderBps": 1_999}),
        ("finderBps", {"finderBps": 10_000}),  # convicting oneself would cost nothing
        ("finderBps", {"finderBps": 10_001}),
        ("unitStake", {"unitStake": 9}),  # whoever is drawn has staked less than whoever accuses
        ("court", {"court": NOBODY}),
        ("market", {"disputes": "0x" + "11" * 20}),  # it obeys another
        ("market", {"market": "0x" + "11" * 20}),  # none is there
    ],
)
def test_disputes_refuse(name, changes):
    with pytest.raises(RuntimeError) as refused:
        Chain(**changes)
    word = name.encode().ljust(32, b"\0")
    selector = keccak(text="BadParameter(bytes32)")[:4]
    assert evm._revert_data(refused.value) == selector + word


@pytest.mark.parametrize(
    "changes",
    [
        {"openTime": 150, "minClock": 600},
        {"bond": 15},
        {"finderBps": 2_000},
        {"finderBps": 9_999},
        {"unitStake": 10},
    ],
)
def test_disputes_at_the_bounds(changes):
    Chain(**changes)
