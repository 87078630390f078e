"""The contracts, and tasks in each status.

Contracts are deployed once for each test module. Factories (`make_job`, `post`, ...) take what a
test wants to be different. Amounts are small numbers: 1000 is a price, 100 the least stake.
"""

from contextlib import contextmanager

import ape
import pytest

from tests.evm import address_of_creation

BPS = 10_000
CLOCK = 600  # of every task
WINDOW = CLOCK + CLOCK // 4  # of a task with one segment to check
UNBONDING = 7_200
DRAW_DELAY = 2  # blocks from the arming of a draw to the block that decides it
PARAMETERS = {
    "minBidTime": 60,
    "maxBidTime": 100_000,
    "minCommitTime": 120,
    "minClock": 60,
    "maxClock": 86_400,
    "marginBps": 15_000,
    "latePenaltyBps": 1_000,
    "floorStake": 100,
}
OPEN_TIME, FINDER_BPS, BOND = 120, 3_000, 10
UNIT, DRAW_TIME = 500, 1_800
UNITS = 3  # of the verifier
IN_UNITS = UNITS * UNIT
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
    return deployer.deploy(project.StubCourt)


@pytest.fixture(scope="module")
def randomness(project, deployer):
    return deployer.deploy(project.BlockhashRandomness, DRAW_DELAY, False)


@pytest.fixture(scope="module")
def make_verifiers(project, deployer, stakes):
    """Deploys verifiers of the market that comes next."""

    def make(of=stakes):
        market = address_of_creation(deployer.address, deployer.nonce + 1)
        return deployer.deploy(project.Verifiers, market, of, UNIT, DRAW_TIME)

    return make


@pytest.fixture(scope="module")
def make_market(project, deployer, token, stakes, randomness, make_verifiers):
    """Deploys a market with other parameters. Unless told, its verifiers are new, and its disputes
    are what comes next."""

    def make(**changes):
        if "verifiers" not in changes:
            changes["verifiers"] = make_verifiers(changes.get("stakes", stakes)).address
        given = {
            "token": token.address,
            "stakes": stakes.address,
            "randomness": randomness.address,
            "disputes": address_of_creation(deployer.address, deployer.nonce + 1),
            **PARAMETERS,
            **changes,
        }
        return deployer.deploy(project.Market, given)

    return make


@pytest.fixture(scope="module")
def three(project, deployer, court, make_verifiers, make_market):
    """The market, its verifiers and its disputes."""
    verifiers = make_verifiers()
    market = make_market(verifiers=verifiers.address)
    disputes = deployer.deploy(project.Disputes, market, court, OPEN_TIME, FINDER_BPS, BOND)
    return market, verifiers, disputes


@pytest.fixture(scope="module")
def verifiers(three):
    return three[1]


@pytest.fixture(scope="module")
def disputes(three):
    return three[2]


@pytest.fixture(scope="module")
def market(three, token, requester, challenger, outsider):
    """The market, with people who have money and have allowed it to take it."""
    market = three[0]
    for account in (requester, challenger, outsider):
        token.mint(account, WEALTH, sender=account)
        token.approve(market, WEALTH, sender=account)
    return market


@pytest.fixture(scope="module")
def make_worker(token, stakes):
    """Gives an account a stake, and names its lockers."""

    def make(account, *lockers, amount=STAKED):
        token.mint(account, amount, sender=account)
        token.approve(stakes, amount, sender=account)
        stakes.deposit(amount, sender=account)
        for locker in lockers:
            stakes.approveLocker(locker, True, sender=account)
        return account

    return make


@pytest.fixture(scope="module")
def workers(make_worker, market, verifiers, solver, verifier):
    """The solver and the verifier, with STAKED free; the verifier stands ready beside."""
    make_worker(solver, market)
    make_worker(verifier, market, verifiers, amount=STAKED + IN_UNITS)
    verifiers.offer(UNITS, sender=verifier)


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
            "clock": CLOCK,
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
    """A task whose verifier is drawn, if one stands ready."""

    def draw(**changes):
        task = commit(**changes)
        chain.mine(DRAW_DELAY)
        market.draw(task, sender=outsider)
        return task

    return draw


@pytest.fixture
def accuse(disputes, make_worker, challenger):
    """Files a sealed accusation of segment 0, unsealed at once; gives its number."""

    def accuse(task, sender=challenger, finding=b"\x0f" * 32):
        make_worker(sender, disputes)
        number = disputes.queue(task).filed
        given = (task, 0, finding)
        seal = disputes.sealOf(*given, sender, b"")
        disputes.accuse(task, seal, sender=sender)
        disputes.unseal(task, number, 0, finding, b"", sender=sender)
        return number

    return accuse


@pytest.fixture
def try_next(disputes, court, outsider, make_job):
    """Has the court hear the next one and decide; gives the transaction."""

    def try_next(task, guilty, **in_job):
        disputes.start(task, make_job(**in_job), sender=outsider)
        return court.decide(court.disputes() - 1, guilty, sender=outsider)

    return try_next


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
