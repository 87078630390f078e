"""The contracts, and tasks in each status.

Contracts are deployed once for each test module. Factories (`make_job`, `post`, ...) take what a
test wants to be different. Amounts are small numbers: 1000 is a price, 100 the least stake.
"""

from contextlib import contextmanager

import ape
import pytest

BPS = 10_000
CLOCK = 600
UNBONDING = 7_200
DRAW_DELAY = 2  # blocks from the arming of a draw to the block that decides it
PARAMETERS = {
    "challengeWindow": 3_600,
    "minBidTime": 60,
    "minCommitTime": 120,
    "marginBps": 15_000,
    "latePenaltyBps": 1_000,
    "challengerBps": 4_000,
    "requesterBps": 3_500,
    "floorStake": 100,
    "bond": 50,
}
WEALTH = 10**9
STAKED = 10**6
PRICE = 1_000
FEE = 300
BURNED = "0x000000000000000000000000000000000000dEaD"
NOBODY = "0x0000000000000000000000000000000000000000"
OPEN, ASSIGNED, COMMITTED, VERIFYING, SETTLED, CONDEMNED, EXPIRED, CANCELLED = range(1, 9)


@pytest.fixture(scope="session", autouse=True)
def roles(deployer, requester, solver, verifier, challenger, outsider, rivals):
    """Asked for before any contract: ape would redeploy for a fixture that comes later."""


@pytest.fixture(scope="module")
def token(project, deployer):
    return deployer.deploy(project.TestToken)


@pytest.fixture(scope="module")
def stakes(project, deployer, token):
    return deployer.deploy(project.Stakes, token, UNBONDING)


@pytest.fixture(scope="module")
def court(project, deployer):
    """A court that decides what a test tells it to."""
    return deployer.deploy(project.StubCourt, CLOCK)


@pytest.fixture(scope="module")
def randomness(project, deployer):
    return deployer.deploy(project.BlockhashRandomness, DRAW_DELAY, False)


@pytest.fixture(scope="module")
def make_market(project, deployer, token, stakes, court, randomness):
    """Deploys a market with other parameters."""

    def make(**changes):
        given = {
            "token": token.address,
            "stakes": stakes.address,
            "court": court.address,
            "randomness": randomness.address,
            **PARAMETERS,
            **changes,
        }
        return deployer.deploy(project.Market, given)

    return make


@pytest.fixture(scope="module")
def market(make_market, token, requester, challenger, outsider):
    """The market, with people who have money and have allowed it to take it."""
    market = make_market()
    for account in (requester, challenger, outsider):
        token.mint(account, WEALTH, sender=account)
        token.approve(market, WEALTH, sender=account)
    return market


@pytest.fixture(scope="module")
def make_worker(token, stakes):
    """Gives an account a stake, and names the market as its locker."""

    def make(account, market, amount=STAKED):
        token.mint(account, amount, sender=account)
        token.approve(stakes, amount, sender=account)
        stakes.deposit(amount, sender=account)
        stakes.approveLocker(market, True, sender=account)
        return account

    return make


@pytest.fixture(scope="module")
def workers(make_worker, market, solver, verifier):
    """The solver and the verifier, staked; the verifier is enlisted."""
    for account in (solver, verifier):
        make_worker(account, market)
    market.enlist(sender=verifier)


@pytest.fixture
def now(chain):
    return lambda: chain.blocks.head.timestamp


@pytest.fixture
def at(chain):
    """The next transaction happens at this second."""

    def at(timestamp):
        chain.pending_timestamp = timestamp

    return at


@pytest.fixture
def make_job():
    def make(**changes):
        return {
            "program": b"\x01" * 32,
            "state": b"\x02" * 32,
            "data": b"\x03" * 32,
            "dataTensors": 2,
            "rows": 1_000,
            "seed": 7,
            "steps": 10,
            "segmentSteps": 10,
            **changes,
        }

    return make


@pytest.fixture
def make_terms(now):
    def make(**changes):
        start = now()
        return {
            "maxPrice": PRICE,
            "verifierFee": FEE,
            "bidUntil": start + 1_000,
            "commitUntil": start + 5_000,
            "checks": 1,
            **changes,
        }

    return make


@pytest.fixture
def segment_of():
    """The commitment that the tests' solver makes to a segment."""
    return lambda index: (bytes([0x10, index]) * 16, bytes([0x20, index]) * 16)


@pytest.fixture
def post(market, requester, make_job, make_terms):
    """Posts a task; gives its number. `steps` and the like change the job, the rest the terms."""

    def post(sender=requester, **changes):
        in_job = {k: changes.pop(k) for k in list(changes) if k in make_job()}
        market.post(make_job(**in_job), make_terms(**changes), sender=sender)
        return market.tasks() - 1

    return post


@pytest.fixture
def assign(market, workers, solver, post, at):
    """A task that the solver has won at `price`."""

    def assign(price=PRICE, **changes):
        task = post(**changes)
        market.bid(task, price, sender=solver)
        at(market.task(task).bidUntil + 1)
        market.close(task, sender=solver)
        return task

    return assign


@pytest.fixture
def commit(market, solver, assign, segment_of):
    """A task of which every segment is committed."""

    def commit(**changes):
        task = assign(**changes)
        segments = [segment_of(i) for i in range(market.task(task).segments)]
        market.commitSegments(task, 0, segments, sender=solver)
        return task

    return commit


@pytest.fixture
def draw(market, chain, outsider, commit):
    """A task whose verifier is drawn, if one is enlisted."""

    def draw(**changes):
        task = commit(**changes)
        chain.mine(DRAW_DELAY)
        market.draw(task, sender=outsider)
        return task

    return draw


@pytest.fixture
def accuse(market, court, challenger, make_job):
    """Opens a dispute; gives its number."""

    def accuse(task, segment=0, sender=challenger, **in_job):
        market.challenge(task, make_job(**in_job), segment, sender=sender)
        return court.disputes() - 1

    return accuse


@pytest.fixture
def convict(market, court, outsider, accuse):
    """Condemns a task and has it punished; gives the transactions of verdict and punishment."""

    def convict(task, *about, **in_job):
        dispute = accuse(task, *about, **in_job)
        verdict = court.decide(dispute, True, sender=outsider)
        return verdict, market.punish(dispute, sender=outsider)

    return convict


@pytest.fixture
def holdings(token, stakes, market):
    """What the contracts hold: no money moves without a change here."""
    return lambda: (token.balanceOf(market), token.balanceOf(stakes))


@pytest.fixture
def refuses(holdings):
    """The block reverts with this error and these fields, and moves no money."""

    @contextmanager
    def refuses(error, **fields):
        before = holdings()
        with ape.reverts(error, **fields):
            yield
        assert holdings() == before

    return refuses
