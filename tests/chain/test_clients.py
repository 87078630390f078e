"""A task's and a stake's life through the typed clients, on both kinds of chain."""

import dataclasses

import pytest

from scripts.status import describe, waiting
from tests.chain import chains
from worker.chain import (
    ContractError,
    Deployment,
    Standing,
    Status,
    Terms,
    WrongDeployment,
    connect,
)
from worker.chain.events import (
    Accused,
    Assigned,
    BidPlaced,
    Condemned,
    DataDemanded,
    Deposited,
    Ended,
    FindersPaid,
    Held,
    LockerApproved,
    Offered,
    Posted,
    SegmentCommitted,
    Started,
    Unsealed,
)
from worker.chain.types import Job

TOKEN = 10**18
JOB = Job(
    b"p" * 32, b"s" * 32, b"d" * 32, data_tensors=2, rows=10, seed=7, steps=5, segment_steps=2
)


@pytest.fixture
def post(clients_of):
    """Posts a task as a new requester; returns its number and its terms."""

    def make(where, **changes):
        requester = clients_of(where)
        now = requester.now()
        terms = Terms(
            **{
                "max_price": 80 * TOKEN,
                "verifier_fee": 10 * TOKEN,
                "bid_until": now + 60,
                "commit_until": now + 600,
                "checks": 1,
                "clock": 300,
                **changes,
            }
        )
        escrow = terms.max_price + terms.verifier_fee
        requester.token.mint(requester.address, escrow)
        requester.token.ensure_allowance(requester.market.address, escrow)
        posted = requester.market.post(JOB, terms).one(Posted)
        assert (posted.requester, posted.job, posted.terms) == (requester.address, JOB, terms)
        return posted.task, terms

    return make


@pytest.fixture
def staked(clients_of):
    """A new worker with stake that the market may lock."""

    def make(where):
        worker = clients_of(where)
        worker.token.mint(worker.address, 1_000 * TOKEN)
        worker.token.ensure_allowance(worker.stakes.address, 1_000 * TOKEN)
        assert worker.stakes.deposit(1_000 * TOKEN).one(Deposited).worker == worker.address
        contracts = (worker.market, worker.verifiers, worker.disputes)
        for locker in (contract.address for contract in contracts):
            approved = worker.stakes.approve_locker(locker).one(LockerApproved)
            assert (approved.locker, approved.approved) == (locker, True)
        assert worker.verifiers.offer(60).one(Offered).units == 60
        return worker

    return make


def test_task_from_post_to_commitments(assay, post, staked):
    number, terms = post(assay)
    worker = staked(assay)
    market = worker.market
    task = market.task(number)
    assert (task.status, task.segments, task.job) == (Status.OPEN, JOB.segments, JOB.hash())
    assert market.job(number) == JOB
    assert number in range(market.tasks())
    assert describe(worker, number)["waits_for"].startswith("bids, ")

    price = 40 * TOKEN
    placed = market.bid(number, price).one(BidPlaced)
    assert (placed.task, placed.worker, placed.price) == (number, worker.address, price)
    best = market.task(number)
    assert (best.has_solver, best.solver, best.price) == (True, worker.address, price)

    chains.mine(worker.w3, terms.bid_until - worker.now() + 1)
    assert describe(worker, number)["waits_for"] == "close"
    stake = market.solver_stake(terms.max_price, JOB.segments, terms.checks)
    assigned = market.close(number).one(Assigned)
    assert (assigned.solver, assigned.price, assigned.stake) == (worker.address, price, stake)
    assert worker.stakes.locked(worker.address, market.address) == stake
    assert worker.stakes.free(worker.address) == 400 * TOKEN - stake  # 600 are in units

    roots = [(bytes([i]) * 32, bytes([i + 100]) * 32) for i in range(JOB.segments)]
    for i, (state, journal) in enumerate(roots):
        market.commit_segment(number, i, state, journal)
    committed = market.commitments(number)
    assert [(c.segment, c.state, c.journal) for c in committed] == [
        (i, *pair) for i, pair in enumerate(roots)
    ]
    assert dataclasses.astuple(market.segment(number, 1)) == roots[1]
    assert market.task(number).status == Status.COMMITTED
    story = [type(e).__name__ for e in market.task_events(number)]
    commits = [SegmentCommitted.__name__] * 3
    assert story == ["Posted", "BidPlaced", "Assigned", *commits, "DrawArmed"]
    assert worker.disputes.task_events(number) == []
    described = describe(worker, number)
    assert (described["status"], described["accusations"]) == ("committed", [])
    assert described["waits_for"].startswith("draw, by word")


def test_accusations_from_filing_to_their_end(assay, post, staked):
    """Protects accusers: what the clients seal, file, unseal and read is what the contract has."""
    number, terms = post(assay)
    solver, accuser = staked(assay), staked(assay)
    solver.market.bid(number, 40 * TOKEN)
    chains.mine(solver.w3, terms.bid_until - solver.now() + 1)
    solver.market.close(number)
    solver.market.commit_segment(number, 0, b"s" * 32, b"j" * 32)

    disputes, bond = accuser.disputes, accuser.disputes.bond()
    assert disputes.bond_of(number, accuser.address) == (bond, False)
    finding, salt = b"f" * 32, b"x" * 32
    seal = disputes.seal_of(number, 0, finding, accuser.address, salt)
    filed = disputes.accuse(number, seal)
    accused = filed.one(Accused)
    assert (accused.task, accused.number, accused.accuser) == (number, 0, accuser.address)
    assert (accused.privileged, accused.bond, accused.seal) == (False, bond, seal)
    assert filed.one(Held).task == number and solver.market.task(number).held
    assert accuser.stakes.locked(accuser.address, disputes.address) == bond
    sealed = disputes.accusation(number, 0)
    assert (sealed.standing, sealed.finding, sealed.committed) == (Standing.SEALED, seal, 1)
    assert disputes.bond_of(number, accuser.address) == (2 * bond, False)

    unsealed = disputes.unseal(number, 0, 0, finding, salt).one(Unsealed)
    assert (unsealed.number, unsealed.segment, unsealed.finding) == (0, 0, finding)
    demanded = disputes.demand(number, 0, 7).one(DataDemanded)
    assert (demanded.number, demanded.bond, demanded.word) == (1, 2 * bond, 7)
    started = disputes.start(number, JOB).one(Started)
    assert disputes.accusation_of(started.dispute) == (number, 0)
    claim = accuser.court.claim(started.dispute)
    assert (claim.solver, claim.challenger) == (solver.address, accuser.address)
    assert (claim.last_state, claim.journal) == (b"s" * 32, b"j" * 32)
    assert accuser.court.dispute(started.dispute).solver_clock == terms.clock
    queue = disputes.queue(number)
    assert (queue.filed, queue.undecided, queue.running) == (2, 2, 1)
    assert queue.dispute == started.dispute and queue.waits

    described = describe(solver, number)
    assert [a["standing"] for a in described["accusations"]] == ["running", "waiting"]
    assert described["waits_for"] == "its accusations"
    assert list(waiting(described["queue"], described["accusations"], str)) == [
        f"accusations: 2 filed, 2 not decided, with bonds of {3 * bond}; dispute "
        f"{started.dispute} runs",
        f"  0: running of segment 0, {bond} by {accuser.address}",
        f"  1: waiting of segment 0, {2 * bond} by {accuser.address}",
    ]
    chains.mine(solver.w3, terms.clock + 1)
    verdict = accuser.court.call_time(started.dispute)
    assert verdict.one(Ended).standing == Standing.CONVICTING
    assert verdict.one(Condemned).segment == 0
    assert disputes.dismiss(number, 1).one(Ended).standing == Standing.MOOT
    chains.mine(solver.w3, disputes.open_time() + 1)
    paid = disputes.punish(number).one(FindersPaid)
    assert (paid.convictor, paid.to_convictor) == (accuser.address, bond)
    assert (paid.finder, paid.to_verifier) == (accuser.address, 0)
    story = [type(e) for e in disputes.task_events(number)]
    assert story == [Accused, Unsealed, DataDemanded, Started, Ended, Ended, FindersPaid]
    assert accuser.stakes.locked(accuser.address, disputes.address) == 0
    assert not disputes.queue(number).waits


def test_stake_can_leave(assay, staked):
    worker = staked(assay)
    worker.verifiers.offer(0)
    amount, until = worker.verifiers.releasable(worker.address)
    assert amount == 600 * TOKEN
    with pytest.raises(ContractError, match="StillDrawable"):
        worker.verifiers.release(worker.address)
    chains.mine(worker.w3, worker.verifiers.draw_time() + 1)
    worker.verifiers.release(worker.address)
    assert (until, worker.verifiers.units(), worker.verifiers.places()) > (0, -1, 0)
    assert worker.stakes.free(worker.address) == 1_000 * TOKEN
    worker.stakes.unbond(400 * TOKEN)
    amount, available_at = worker.stakes.unbonding(worker.address)
    assert amount == 400 * TOKEN
    with pytest.raises(ContractError) as refused:
        worker.stakes.withdraw()
    assert refused.value.name == "StillUnbonding"
    assert refused.value.arguments == {"availableAt": available_at}
    chains.mine(worker.w3, worker.stakes.unbonding_delay())
    worker.stakes.withdraw()
    assert worker.token.balance_of(worker.address) == 400 * TOKEN


def test_reads_of_the_market_and_the_court(assay, clients_of):
    clients = clients_of(assay)
    parameters = clients.market.parameters()
    assert parameters.stakes == clients.stakes.address
    assert parameters.verifiers == clients.verifiers.address
    assert parameters.disputes == clients.disputes.address
    assert (parameters.min_clock, parameters.max_clock) == (60, 86_400)
    assert clients.market.liability(0) == parameters.floor_stake
    assert clients.court.arity_bits() == 5
    assert (clients.disputes.open_time(), clients.disputes.finder_bps()) == (60, 3_000)
    assert clients.disputes.bond() == 15 * 10**17
    assert (clients.verifiers.draw_time(), clients.verifiers.unit_stake()) == (600, 10 * TOKEN)
    assert clients.court.checker(3) == clients.deployment.checkers[3]
    assert clients.stakes.token() == clients.token.address
    assert clients.stakes.available(clients.address, clients.market.address) == 0
    assert (clients.token.symbol(), clients.token.decimals()) == ("TEST", 18)
    unknown = clients.court.disputes()
    assert clients.court.events(unknown) == []
    with pytest.raises(ValueError, match=f"dispute={unknown}"):
        clients.court.claim(unknown)
    with pytest.raises(ContractError, match="UnknownDispute"):
        clients.disputes.accusation_of(unknown)


def test_a_refusal_names_error_arguments_and_remedy(assay, clients_of):
    clients = clients_of(assay)
    with pytest.raises(ContractError) as refused:
        clients.market.bid(10**6, 1)
    error = refused.value
    assert (error.name, error.arguments) == ("UnknownTask", {"task": 10**6})
    assert "market.bid" in str(error) and "task=1000000" in str(error)
    assert "check the task's number" in str(error)


def test_an_error_of_another_contract_is_read_through_the_one_called(assay, clients_of):
    clients = clients_of(assay)
    with pytest.raises(ContractError) as refused:
        clients.stakes.deposit(5)  # nothing is approved: the token refuses
    assert refused.value.name == "ERC20InsufficientAllowance"
    assert refused.value.arguments["needed"] == 5


def test_reading_what_is_not_there_is_refused_by_name(assay, clients_of):
    with pytest.raises(ContractError, match=r"market\.task|Market\.task"):
        clients_of(assay).market.task(10**6)


# --- deployments ---------------------------------------------------------------------------------


def test_registry_comes_back(assay, tmp_path):
    _, deployment = assay
    deployment.save(tmp_path / "here.json")
    assert Deployment.load(tmp_path / "here.json") == deployment


def test_another_chain_is_refused(assay):
    w3, deployment = assay
    other = dataclasses.replace(deployment, chain_id=5)
    with pytest.raises(WrongDeployment, match=f"chain 5, the node is on chain {w3.eth.chain_id}"):
        connect(w3, other)


def test_missing_code_is_refused_by_name(assay):
    w3, deployment = assay
    nowhere = "0x" + "ab" * 20
    with pytest.raises(WrongDeployment, match=f"no contract at court={nowhere}"):
        connect(w3, dataclasses.replace(deployment, court=nowhere))
    with pytest.raises(WrongDeployment, match=r"checkers\[0\]"):
        connect(w3, dataclasses.replace(deployment, checkers=(nowhere,)))


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "ape run deploy"),
        ("{", "not JSON"),
        ('{"chain_id": 1}', "lacks needed entries"),
    ],
)
def test_bad_registry_is_refused(tmp_path, text, said):
    path = tmp_path / "registry.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(WrongDeployment, match=said):
        Deployment.load(path)


def test_bad_address_is_refused(assay):
    _, deployment = assay
    with pytest.raises(WrongDeployment, match="market='0x12' is not an address"):
        dataclasses.replace(deployment, market="0x12")
