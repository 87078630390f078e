"""The scripts: deploying, the tasks' table, a dispute's story, the console's helpers."""

import copy
import dataclasses
import json
import re
import subprocess
import types

import ape
import click
import click.testing
import pytest

import ape_console_extras
from benchmarks.court import SNAPSHOT
from scripts import cancel as cancel_script
from scripts import deploy as deploy_script
from scripts import mint as mint_script
from scripts import post as post_script
from scripts import status as status_script
from scripts import withdraw as withdraw_script
from scripts._bond import GasPrices, least
from scripts._cost import Cost
from scripts._life import life
from scripts._shared import clients_at, tasks_of
from scripts.dispute import on_trial, stands, story, tell
from scripts.make_abi import FOLDER, SOURCES, make_abi
from scripts.post import load_job
from tests.chain import chains
from tests.games.world import small_training
from worker.chain import (
    ZERO_ADDRESS,
    Claim,
    ContractError,
    Deployment,
    Dispute,
    Job,
    Phase,
    Standing,
    Status,
    Terms,
    connect,
    events,
)
from worker.chain.events import (
    ChildrenRevealed,
    CourtEvent,
    DataShown,
    Decided,
    Demanded,
    Descended,
    ElementTried,
    LeafRevealed,
    Opened,
    Place,
    ReportsAccused,
    RootsRevealed,
    StateAccused,
    StepsNarrowed,
    TensorRevealed,
    TraceRevealed,
)
from worker.examples.digits import digits
from worker.jobs.jobfile import MarketSection

SOLVER, CHALLENGER = "0x" + "51" * 20, "0x" + "c4" * 20


@ape.fixture(scope="module", chain_isolation=False)
def told():
    return []


@pytest.fixture(scope="module")
def deployment(deployer, solver, requester, told):
    # the accounts are a session's fixtures: ape would deploy anew if they came after a module's
    return deploy_script.deploy(
        deployer, told=lambda name, contract: told.append((name, contract.address))
    )


def test_everything_is_deployed_as_the_parameters_say(deployment, told, chain):
    parameters = deploy_script.load_parameters()
    clients = connect(chain.provider.web3, deployment)
    market = clients.market.parameters()
    given = parameters["market"]
    assert (market.min_clock, market.max_clock) == (given["minClock"], given["maxClock"])
    assert (market.disputes, market.stakes) == (deployment.disputes, deployment.stakes)
    assert market.verifiers == deployment.verifiers
    given, verifiers = parameters["verifiers"], clients.verifiers
    assert (verifiers.unit_stake(), verifiers.draw_time()) == (
        given["unitStake"],
        given["drawTime"],
    )
    given, disputes = parameters["disputes"], clients.disputes
    assert (disputes.open_time(), disputes.bond()) == (given["openTime"], given["bond"])
    assert disputes.finder_bps() == given["finderBps"]
    assert clients.stakes.unbonding_delay() == parameters["stakes"]["unbondingDelay"]
    for kind, checker in enumerate(deployment.checkers):
        assert clients.court.checker(kind) == checker
    assert [name for name, _ in told] == [
        "TestToken",
        *deploy_script.CHECKERS,
        "Court",
        "Stakes",
        "BlockhashRandomness",
        "Verifiers",
        "Market",
        "Disputes",
    ]
    assert deployment.block <= chain.blocks.height


def test_a_token_that_is_there_is_used(deployment, deployer):
    parameters = deploy_script.load_parameters()
    again = deploy_script.deploy(deployer, {**parameters, "token": deployment.token})
    assert again.token == deployment.token
    assert again.market != deployment.market


@pytest.mark.parametrize("path", sorted(deploy_script.REGISTRIES.glob("*.yaml")), ids=str)
def test_the_parameters_we_ship_fit_the_constructors(path):
    deploy_script.load_parameters(path)


@pytest.mark.parametrize("path", sorted(deploy_script.REGISTRIES.glob("*.yaml")), ids=str)
def test_the_parameters_we_ship_know_what_the_longest_dispute_costs(path):
    """The gas that bond and stake are held to is no less than what was measured."""
    parameters, kept = deploy_script.load_parameters(path), json.loads(SNAPSHOT.read_text())
    assert parameters["court"]["arityBits"] == kept["arity_bits"]
    for side, gas in kept["longest"].items():
        assert gas <= parameters["gas"][side] <= 1.2 * gas, side


def test_a_unit_below_a_bond_is_refused_before_anything_is_deployed():
    parameters = copy.deepcopy(deploy_script.load_parameters())
    bond = parameters["disputes"]["bond"]
    parameters["verifiers"]["unitStake"] = bond
    deploy_script.check_parameters(parameters)
    parameters["verifiers"]["unitStake"] = bond - 1
    with pytest.raises(deploy_script.BadParameters, match=f"unitStake = {bond - 1} .* {bond}"):
        deploy_script.check_parameters(parameters)


def test_a_draw_that_is_over_before_its_round_is_refused():
    """Protects every task: a word of drand comes after the delay, and then a keeper needs time."""
    parameters = copy.deepcopy(
        deploy_script.load_parameters(deploy_script.REGISTRIES / "sepolia.yaml")
    )
    parameters["verifiers"]["drawTime"] = 2 * parameters["randomness"]["delay"]
    deploy_script.check_parameters(parameters)
    parameters["verifiers"]["drawTime"] -= 1
    with pytest.raises(deploy_script.BadParameters, match="drawTime = 2399 must be at least 2400"):
        deploy_script.check_parameters(parameters)


@pytest.mark.parametrize("section, name", [("disputes", "bond"), ("market", "floorStake")])
def test_the_least_that_covers_the_gas_is_accepted_and_one_less_is_not(section, name):
    parameters = copy.deepcopy(deploy_script.load_parameters())
    amount = least(GasPrices(**parameters["gas"]), parameters["disputes"])[f"{section}.{name}"]
    parameters[section][name] = amount
    deploy_script.check_parameters(parameters)
    parameters[section][name] = amount - 1
    with pytest.raises(deploy_script.BadParameters, match=f"must be at least {amount}"):
        deploy_script.check_parameters(parameters)


def put(*path, value=None):
    def change(parameters):
        *above, last = path
        for name in above:
            parameters = parameters[name]
        if value is None:
            del parameters[last]
        else:
            parameters[last] = value

    return change


@pytest.mark.parametrize(
    "change, said",
    [
        (put("disputes", "bond"), r"disputes\.bond is missing \(uint96\)"),
        (put("market", "bond", value=1), r"market\.bond is no parameter; there are minBidTime"),
        (put("market", "disputes", value="0x"), r"market\.disputes is no parameter"),
        (put("disputes", "court", value="0x"), r"disputes\.court is no parameter"),
        (put("disputes"), "unknown or missing: disputes"),
        (put("market", "owner", value=1), r"market\.owner is no parameter; there are"),
        (put("court", "arityBits", value=256), r"court\.arityBits = 256 must be .* 0\.\.255"),
        (put("court", "arityBits", value=True), "whole number"),
        (put("stakes", "unbondingDelay", value="1h"), "unbondingDelay = '1h'"),
        (put("stakes"), "unknown or missing: stakes"),
        (put("oracle", value={}), "unknown or missing: oracle"),
        (put("gas"), "unknown or missing: gas"),
        (put("randomness"), "unknown or missing: randomness"),
        (put("randomness", "kind", value="dice"), r"randomness\.kind = 'dice' must be one of"),
        (put("randomness", "kind"), r"randomness\.kind = None must be one of"),
        (put("randomness", "history", value=1), r"randomness\.history = 1 must be true or false"),
        (put("randomness", "history"), r"randomness\.history is missing \(bool\)"),
        (put("randomness", "delay", value="1 block"), r"randomness\.delay = '1 block' must be"),
        (put("gas", "token"), r"gas\.token is missing"),
        (put("gas", "price", value=0), r"gas\.price = 0 must be positive"),
        (put("disputes", "finderBps", value=0), r"disputes\.finderBps = 0 must be positive"),
        (
            put("gas", "price", value=10**10),
            r"disputes\.bond = 1500000000000000000 must be at least 9200000000000000000, to cover "
            r"the 2,300,000 gas .* gas\.price = 10000000000 .* raise it to that, or state",
        ),
        (
            put("gas", "challenger", value=10**7),
            r"market\.floorStake = 10000000000000000000 must be at least 21666666666666666674, to "
            r"cover two bonds and the 10,000,000 gas .* 3000 / 10,000 of a guilty solver's stake",
        ),
        (put("token", value="0x12"), "token = '0x12' must be"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(change, said):
    parameters = copy.deepcopy(deploy_script.load_parameters())
    change(parameters)
    with pytest.raises(deploy_script.BadParameters, match=said):
        deploy_script.check_parameters(parameters)


def test_a_missing_parameters_file_names_the_others(tmp_path):
    with pytest.raises(deploy_script.BadParameters, match=r"local\.yaml"):
        deploy_script.load_parameters(tmp_path / "none.yaml")


def test_play_money_stays_on_play_chains(deployer, monkeypatch):
    monkeypatch.setattr(deploy_script, "PLAY_CHAINS", set())
    with pytest.raises(deploy_script.BadParameters, match="is no test network"):
        deploy_script.deploy(deployer)


def test_a_source_that_the_chain_has_not_is_refused(deployer):
    """Protects a market from draws that never come: no other source is taken without a word."""
    parameters = copy.deepcopy(deploy_script.load_parameters())
    parameters["randomness"]["history"] = True
    with pytest.raises(deploy_script.BadParameters, match="no contract of EIP-2935: set random"):
        deploy_script.deploy(deployer, parameters)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_committed_abi_is_that_of_the_contracts(name):
    path = FOLDER / f"{name}.json"
    assert path.read_text() == make_abi(SOURCES[name]), "stale: ape run make_abi"


# --- what a job costs, before it is posted -------------------------------------------------------


@pytest.fixture
def payer(deployment, chain, project, requester):
    """Clients, and somebody with 120 tokens, which is what a job costs by default."""
    clients = connect(chain.provider.web3, deployment)
    token = project.TestToken.at(deployment.token)
    token.transfer(token, token.balanceOf(requester), sender=requester)
    token.mint(requester, 120 * 10**18, sender=requester)
    return clients, requester.address


def test_a_price_is_what_the_market_makes_of_it(payer):
    """Protects requesters: what a dry run says are the escrow and the stakes of the contracts, in
    whole smallest units though prices are written with points."""
    clients, _ = payer
    cost = Cost.of(clients, MarketSection(price=0.1, fee=0.7, checks=2), segments=8)
    assert (cost.price, cost.fee, cost.escrow) == (10**17, 7 * 10**17, 8 * 10**17)
    assert cost.solver_stake == clients.market.solver_stake(10**17, 8, 2)
    assert cost.liability == clients.market.liability(7 * 10**17)
    dear = Cost.of(clients, MarketSection(price=1000), segments=8)
    assert dear.solver_stake == 1500 * 10**18, "1.5 times the price where all is checked"
    assert dear.tokens(dear.solver_stake) == "1500 TEST"


def test_what_the_market_would_refuse_costs_nothing(payer):
    """Protects requesters: too little money or time is said before a transaction is sent."""
    clients, payer_address = payer
    default = MarketSection()
    Cost.check_terms(clients, default)
    Cost.of(clients, default, 8).check_balance(clients, default, payer_address)
    for market, said in [
        (MarketSection(price=100.5), r"price = 100.5, .* has 120 TEST, and 120.5 TEST go in"),
        (MarketSection(commit_seconds=29), "commit_seconds = 29: this market asks for at least 30"),
    ]:
        with pytest.raises(click.ClickException, match=said):
            Cost.check_terms(clients, market)
            Cost.of(clients, market, 8).check_balance(clients, market, payer_address)


EXAMPLE = chains.ROOT / "worker" / "examples" / "digits.toml"


def test_what_is_given_comes_before_what_the_file_says():
    """Protects requesters: an option of the command line changes one term, and is checked too."""
    definition, market = load_job(EXAMPLE, None, {"price": 7.5, "checks": 2})
    assert (market.price, market.fee, market.checks) == (7.5, 20.0, 2)
    assert (definition.steps, definition.segment_steps) == (400, 50)
    for arguments, said in [
        ((EXAMPLE, None, {"checks": 9}), "market.checks = 9: must be at most the job's 8 segments"),
        ((EXAMPLE, None, {"price": -1.0}), "market.price = -1.0: must be a number of tokens"),
        ((EXAMPLE, "a:b", {}), "give ENTRY or --job FILE, not both"),
        ((None, "worker.examples.digits:recipe", {}), "returned TrainingRecipe, not a TrainingJ"),
        ((None, "worker.examples.digits:digit", {}), "has no function digit; it has recipe, dig"),
        ((None, "worker.examples.digits", {}), "must be file.py:function or package.module:func"),
        ((EXAMPLE.parent / "none.toml", None, {}), "none.toml cannot be read"),
    ]:
        with pytest.raises(click.ClickException, match=said):
            load_job(*arguments)


def test_a_dry_run_says_what_a_job_costs_and_sends_nothing(payer, deployment, tmp_path):
    """Protects requesters: the whole command, on a chain; no task, no transaction, no artifact."""
    clients, _ = payer
    deployment.save(tmp_path / "here.json")
    options = ["--job", str(EXAMPLE), "--dry-run", "--deployment", str(tmp_path / "here.json")]
    store = tmp_path / "store"
    before = clients.w3.eth.block_number
    run = click.testing.CliRunner().invoke
    said = run(post_script.cli, [*options, "--store", str(store), "--json"], obj=None)
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert found["program"] == digits().capture().root.hex()
    assert found["escrow"] == 120 * 10**18 and found["solver_stake"] == 150 * 10**18
    assert found["clock"] % 60 == 0 and 60 <= found["clock"] <= 86_400
    assert found["segments"] == 8 and found["work_units"] == 400 * found["step"]["work_units"]
    said = run(post_script.cli, [*options, "--store", str(store), "--price", "9"])
    assert "29 TEST in escrow" in said.output and "Nothing was sent." in said.output
    assert re.search(r"clock +\d+ s for each side in a dispute", said.output)
    said = run(post_script.cli, [*options, "--store", str(store), "--clock", "300"])
    assert "300 s for each side in a dispute" in said.output and "as the job says" in said.output
    short = run(post_script.cli, [*options, "--clock", "59"])
    assert short.exit_code == 1 and "takes clocks of 60 to 86400 s" in short.output
    assert "REDUCE" in said.output and "work units" in said.output
    nowhere = [*options[:-1], str(tmp_path / "none.json"), "--json"]
    assert "there is no" in json.loads(run(post_script.cli, nowhere).stdout)["no_market"]
    late = run(post_script.cli, [*options, "--commit-seconds", "1"])
    assert late.exit_code == 1 and "asks for at least 30" in late.output
    assert clients.market.tasks() == 0 and clients.w3.eth.block_number == before
    assert not store.exists()


def test_a_store_that_cannot_be_written_to_costs_nothing(payer, deployment, tmp_path):
    """Protects requesters: no task is posted whose artifacts nobody could read; no stack trace."""
    clients, _ = payer
    deployment.save(tmp_path / "here.json")
    (tmp_path / "file").write_text("")
    before = clients.market.tasks()
    options = ["--job", str(EXAMPLE), "--deployment", str(tmp_path / "here.json")]
    said = click.testing.CliRunner().invoke(
        post_script.cli, [*options, "--store", str(tmp_path / "file" / "store")]
    )
    assert said.exit_code == 1 and "cannot be written to" in said.output
    assert clients.market.tasks() == before


def test_a_job_is_posted_with_what_to_expect(payer, deployment, tmp_path):
    """Protects requesters from waiting for nobody: what comes next is said, and who is missing."""
    clients, _ = payer
    deployment.save(tmp_path / "here.json")
    options = ["--job", str(EXAMPLE), "--deployment", str(tmp_path / "here.json")]
    said = click.testing.CliRunner().invoke(
        post_script.cli, [*options, "--store", str(tmp_path / "store")]
    )
    assert said.exit_code == 0, said.output
    number = clients.market.tasks() - 1
    assert f"task {number}: 400 steps" in said.output
    assert "anyone may accuse for" in said.output
    assert "no two workers that verify" in said.output.replace("\n", " ")


def test_the_console_has_helpers_where_there_is_a_deployment(
    deployment, project, chain, tmp_path, monkeypatch, solver
):
    monkeypatch.setenv("ASSAY_DEPLOYMENT", str(tmp_path / "none.json"))
    assert "market" not in ape_console_extras.ape_init_extras(project, chain)
    deployment.save(tmp_path / "here.json")
    monkeypatch.setenv("ASSAY_DEPLOYMENT", str(tmp_path / "here.json"))
    names = ape_console_extras.ape_init_extras(project, chain)
    names["mint"](solver, 5)
    assert names["token"].balance_of(solver.address) == 5


# --- on a node, as people call them ---------------------------------------------------------------


def ape_run(w3, *arguments):
    network = f"ethereum:local:{w3.provider.endpoint_uri}"
    done = subprocess.run(
        [chains.ROOT / ".venv/bin/ape", "run", *arguments, "--network", network, "--json"],
        cwd=chains.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_deploy_and_status_on_a_node(node, tmp_path):
    w3, _ = node
    registry = tmp_path / "registry.json"
    said = ape_run(w3, "deploy", "--registry", str(registry))
    deployed = Deployment.load(registry)
    assert said["market"] == deployed.market
    assert said["gas"]["Market"] > 1_000_000
    deployed.check(w3)
    assert ape_run(w3, "status", "--deployment", str(registry)) == []


def test_tasks_are_read_in_batches_whatever_their_number(node, clients_of, tmp_path):
    """Protects requesters: the last 30 of 140 tasks are one exchange with the node, all are two."""
    w3, deployment = node
    requester = clients_of(node)
    requester.token.mint(requester.address, 10**6)
    requester.token.approve(deployment.market, 10**6)
    now = requester.now()
    for _ in range(140):
        requester.market.post(JOB, Terms(10, 2, now + 6_000, now + 9_000, 8, 300))
    deployment.save(tmp_path / "here.json")
    clients = clients_at(types.SimpleNamespace(web3=w3), tmp_path / "here.json")
    count = clients.market.tasks()
    for first, exchanges in ((count - status_script.NEWEST, 1), (count - 140, 2)):
        before = clients.w3.provider.calls
        found = tasks_of(clients, range(first, count))
        assert clients.w3.provider.calls - before == exchanges
        assert found == [requester.market.task(n) for n in range(first, count)]
    with pytest.raises(ContractError, match="UnknownTask"):
        tasks_of(clients, [0, count])


# --- a task's life, and its end -------------------------------------------------------------------


def amount(units):
    return f"{units} TEST"


def happened(kind, **words):
    return kind(place=Place(7, 0, b"", b""), task=3, **words)


def filed(number, bond, privileged=False):
    return {"number": number, "accuser": CHALLENGER, "privileged": privileged, "bond": bond}


def paid(verifier, to_verifier, finder, to_finder):
    words = {"verifier": verifier, "to_verifier": to_verifier, "finder": finder}
    return {"convictor": SOLVER, "to_convictor": 1, **words, "to_finder": to_finder}


JOB = Job(b"p" * 32, b"s" * 32, b"d" * 32, 2, 10, 0, 400, 50)
TERMS = Terms(max_price=9, verifier_fee=2, bid_until=100, commit_until=200, checks=8, clock=60)
LIFE = [
    (events.Posted, {"requester": SOLVER, "job": JOB, "terms": TERMS}, "400 steps in 8 segments"),
    (events.BidPlaced, {"worker": SOLVER, "price": 5}, "bids 5 TEST"),
    (events.BidWithdrawn, {"worker": SOLVER}, "takes its bid back"),
    (
        events.Assigned,
        {"solver": SOLVER, "price": 5, "stake": 8, "commit_until": 0},
        "has it for 5 TEST, with a stake of 8 TEST, until 1970-01-01 00:00 UTC",
    ),
    (events.SegmentCommitted, {"segment": 4, "state": b"a", "journal": b"b"}, "state 61, journal"),
    (events.DrawArmed, {"draw_word": 12}, "word 12 draws"),
    (events.Drawn, {"verifier": SOLVER, "checked": 0b1010, "window_ends": 0}, "segments 1, 3"),
    (events.Drawn, {"verifier": ZERO_ADDRESS, "checked": 0, "window_ends": 0}, "nobody could be"),
    (events.Attested, {"verifier": SOLVER}, "attests"),
    (
        events.Accused,
        filed(1, 10) | {"seal": b""},
        "files accusation 1, sealed, with a bond of 10 TEST$",
    ),
    (
        events.Accused,
        filed(2, 5, privileged=True) | {"seal": b""},
        "with a bond of 5 TEST, as the drawn verifier: it is heard next$",
    ),
    (
        events.DataDemanded,
        filed(3, 15) | {"segment": 2, "word": 7},
        "accusation 3, with a bond of 15 TEST: a leaf of the state after segment 2 is to be shown",
    ),
    (events.Held, {}, "held: it neither settles nor expires"),
    (events.Unheld, {"commit_until": 0}, "held no longer"),
    (events.Unsealed, {"number": 1, "segment": 2, "finding": b"f"}, "1 is unsealed: segment 2 is"),
    (events.Started, {"number": 1, "dispute": 6}, "accusation 1 is heard: dispute 6"),
    (events.Ended, {"number": 1, "standing": Standing.CONVICTING}, "accusation 1 is upheld"),
    (events.Ended, {"number": 1, "standing": Standing.LOST}, "1 is lost: of its bond the solver"),
    (events.Ended, {"number": 1, "standing": Standing.LAPSED}, "1 was not unsealed in time"),
    (events.Ended, {"number": 1, "standing": Standing.MOOT}, "1 is moot, .*its bond goes back"),
    (events.Condemned, {"segment": 2}, "it is condemned, for segment 2"),
    (
        events.Punished,
        {"solver": SOLVER, "awarded": 3, "burned": 6},
        "of .*'s stake 3 TEST go to who found it, and 6 TEST burn",
    ),
    (
        events.FindersPaid,
        paid(SOLVER, 2, CHALLENGER, 3),
        f"has 1 TEST for the dispute, the verifier {SOLVER} 2 TEST, the finder {CHALLENGER} 3 TEST",
    ),
    (
        events.FindersPaid,
        paid(ZERO_ADDRESS, 0, ZERO_ADDRESS, 0),
        f"{SOLVER} has 1 TEST for the dispute$",
    ),
    (events.VerifierPenalised, {"verifier": SOLVER, "slashed": 2}, "is fined 2 TEST"),
    (events.Settled, {"solver": SOLVER, "price": 5}, "settled: .* is paid 5 TEST"),
    (events.Expired, {"solver": SOLVER, "penalty": 2}, "is too late and is fined 2 TEST"),
    (events.Cancelled, {}, "cancelled: no worker bid"),
]


@pytest.mark.parametrize("kind, words, said", LIFE, ids=[f"{k.__name__}-{s}" for k, _, s in LIFE])
def test_every_event_of_a_task_is_told(kind, words, said):
    (line,) = life([happened(kind, **words)], None, amount)
    assert re.search(said, line) and line.startswith("block 7: ")


def test_no_event_of_a_task_is_left_untold():
    """Protects requesters: what happens to their money is said in words, not in Python's."""
    kinds = [*events.MarketEvent.__subclasses__(), *events.DisputesEvent.__subclasses__()]
    of_tasks = {k for k in kinds if "task" in k.word_names()}
    assert {kind for kind, _, _ in LIFE} == of_tasks - {events.Credited}


def test_a_cancelled_task_says_why(deployment):
    placed = happened(events.BidPlaced, worker=SOLVER, price=5)
    gone, over = happened(events.BidWithdrawn, worker=SOLVER), happened(events.Cancelled)
    task = types.SimpleNamespace(commit_until=0)
    for before, said in (
        ([], "no worker bid"),
        (
            [placed],
            "it had a bid; its requester took it back, or nobody closed it until 1970-01-01",
        ),
        ([placed, gone], "the best bid was taken back, and nobody bid again"),
    ):
        assert said in list(life([*before, over], task, amount))[-1]


def test_what_came_to_nothing_is_taken_back_by_one_command(
    payer, deployment, project, requester, chain, tmp_path
):
    """Protects requesters: a task that nobody bid for gives its escrow back, without a worker."""
    clients, me = payer
    deployment.save(tmp_path / "here.json")
    run, options = click.testing.CliRunner().invoke, ["--deployment", str(tmp_path / "here.json")]
    chain.mine(deltatime=10_000)  # what other tests have posted is over
    assert run(withdraw_script.cli, options).exit_code == 0
    market = project.Market.at(deployment.market)
    project.TestToken.at(deployment.token).approve(market, 12, sender=requester)
    now = chain.pending_timestamp
    terms = Terms(
        max_price=10, verifier_fee=2, bid_until=now + 60, commit_until=now + 120, checks=8, clock=60
    )
    before = clients.token.balance_of(me)
    market.post(JOB.to_abi(), terms.to_abi(), sender=requester)
    assert "owes" in run(withdraw_script.cli, options).output
    assert clients.token.balance_of(me) == before - 12
    chain.mine(deltatime=300)
    number = clients.market.tasks() - 1
    shown = run(status_script.cli, [*options, "--task", str(number)]).output
    assert "close" in shown and "no two workers" not in shown
    said = run(withdraw_script.cli, [*options, "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["moved_on"] == [{"task": number, "call": "close"}]
    assert clients.token.balance_of(me) == before
    assert "no worker bid" in run(status_script.cli, [*options, "--task", str(number)]).output
    listed = run(status_script.cli, options).output
    assert "this market has no two workers that verify" in listed.replace("\n", " ")


def test_a_requester_takes_back_a_task_while_bids_are_taken(
    payer, deployment, project, requester, chain, tmp_path
):
    """Protects requesters: who has posted the wrong thing has its escrow back at once; a number or
    an account that is wrong, or bids that are over, are told before anything is sent."""
    clients, me = payer
    deployment.save(tmp_path / "here.json")
    run, options = click.testing.CliRunner().invoke, ["--deployment", str(tmp_path / "here.json")]
    market = project.Market.at(deployment.market)
    project.TestToken.at(deployment.token).approve(market, 24, sender=requester)

    def post():
        now = chain.pending_timestamp
        terms = Terms(10, 2, now + 60, now + 120, 8, 60)
        market.post(JOB.to_abi(), terms.to_abi(), sender=requester)
        return clients.market.tasks() - 1

    number = post()
    owed = clients.market.credit(me)
    done = run(cancel_script.cli, [*options, "--task", str(number), "--json"])
    assert done.exit_code == 0, done.output
    assert clients.market.task(number).status == Status.CANCELLED
    assert clients.market.credit(me) == owed + 12
    again = run(cancel_script.cli, [*options, "--task", str(number)])
    assert again.exit_code == 1 and f"task {number} is cancelled, and bids were" in again.output
    missing = run(cancel_script.cli, [*options, "--task", str(number + 1)])
    assert f"there is no task {number + 1}" in missing.output
    late = post()
    chain.mine(deltatime=100)
    refused = run(cancel_script.cli, [*options, "--task", str(late)])
    assert refused.exit_code == 1 and f"task {late} is open, and bids were taken" in refused.output


def test_a_node_that_is_not_there_is_one_message():
    """Protects newcomers: another port than the README's gives a remedy, not a stack trace."""
    done = subprocess.run(
        [chains.ROOT / ".venv/bin/ape", "run", "status", "--network", "http://127.0.0.1:1"],
        cwd=chains.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    shown = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in shown and 'File "' not in shown
    assert re.search("no node answers .*: start one, such as anvil", shown.replace("\n", " "))


def test_what_a_chain_of_another_id_needs_is_said(deployment, monkeypatch):
    """Protects newcomers with a plain anvil, whose id is not that of ape's local network."""

    def refuses(*_):
        raise RuntimeError("(-32003) invalid chain id for signer")

    monkeypatch.setattr(status_script, "clients_at", refuses)
    done = click.testing.CliRunner().invoke(status_script.cli, [])
    assert done.exit_code == 1
    assert "start the node with --chain-id 1337, or name the node by its URL" in done.output


def test_play_money_is_given_by_a_command(deployment, solver, tmp_path):
    deployment.save(tmp_path / "here.json")
    run, options = click.testing.CliRunner().invoke, ["--deployment", str(tmp_path / "here.json")]
    said = run(mint_script.cli, [solver.address, "12.5", *options])
    assert said.exit_code == 0 and f"{solver.address} has 12.5 TEST" in said.output
    assert "is no address" in run(mint_script.cli, ["0x12", "1", *options]).output


# --- stories -------------------------------------------------------------------------------------


CLAIM = Claim(
    *(SOLVER, CHALLENGER, b"p" * 32, b"d" * 32, 2, 10, 7, 4, 8),
    *(b"\1" * 32, b"\2" * 32, b"\3" * 32),
)
ROOTS = (b"r" * 32,) * 3
SAID = [
    (Opened, {"client": SOLVER, "claim": CLAIM, "clock": 60}, "steps 4 to 7"),
    (RootsRevealed, {"lo": 4, "hi": 8, "roots": ROOTS}, "shows 3 states"),
    (StepsNarrowed, {"lo": 4, "hi": 8}, "not with 8's"),
    (StepsNarrowed, {"lo": 6, "hi": 7}, "accuses step 6"),
    (TraceRevealed, {"step": 6, "trace": b"", "salt": b"", "reports": ROOTS[0]}, "and reports"),
    (TraceRevealed, {"step": 6, "trace": b"", "salt": b"", "reports": bytes(32)}, "no reports."),
    (StateAccused, {}, "the next state is not"),
    (ReportsAccused, {}, "the reports are not"),
    (
        ChildrenRevealed,
        {"phase": Phase.TRACE, "level": 5, "index": 0, "children": ROOTS},
        "divides the trace into 3",
    ),
    (
        ChildrenRevealed,
        {"phase": Phase.ELEMENTS, "level": 4, "index": 2, "children": ROOTS},
        "part 2 at level 4",
    ),
    (Descended, {"phase": Phase.TRACE, "level": 0, "index": 9, "root": b""}, "output of node 9"),
    (Descended, {"phase": Phase.STATE, "level": 0, "index": 1, "root": b""}, "tensor 1 of the"),
    (Descended, {"phase": Phase.REPORTS, "level": 0, "index": 1, "root": b""}, "report 1."),
    (Descended, {"phase": Phase.ELEMENTS, "level": 0, "index": 3, "root": b""}, "leaf 3"),
    (Descended, {"phase": Phase.TRACE, "level": 4, "index": 1, "root": b""}, "part 1 at level 4"),
    (TensorRevealed, {"item": 9, "dtype": 1, "count": 100, "elements": b""}, "100 elements of f32"),
    (LeafRevealed, {"index": 3, "data": bytes(512)}, "512 bytes of leaf 3"),
    (
        ElementTried,
        {"node": 9, "element": 300, "committed": 0x3F800000, "recomputed": 0x3F800001},
        "it is 0x3f800001, and the solver committed to 0x3f800000",
    ),
    (Decided, {"solver_guilty": True, "reason": b"element".ljust(32, b"\0")}, "guilty (element)"),
    (Decided, {"solver_guilty": False, "reason": b"time".ljust(32, b"\0")}, "challenger loses"),
    (Demanded, {"word": 77}, "demands a leaf"),
    (DataShown, {"tensor": 2, "leaf": 5, "data": bytes(512)}, "leaf 5 of tensor 2"),
]


def move(kind, words):
    return kind(place=Place(12, 0, b"", b""), dispute=0, **words)


@pytest.mark.parametrize("kind, words, said", SAID, ids=[f"{k.__name__}-{s}" for k, _, s in SAID])
def test_every_move_is_told(kind, words, said):
    assert said in tell(move(kind, words))


def test_no_move_is_left_untold():
    assert {kind for kind, _, _ in SAID} == set(CourtEvent.__subclasses__())


def test_a_story_numbers_its_moves():
    lines = story([move(kind, words) for kind, words, _ in SAID[:2]])
    assert lines[1].startswith("  2. block 12: The solver shows")


def test_whose_turn_it_is():
    nothing = Dispute(*(f for f in _zeros()))
    dispute = dataclasses.replace(
        nothing, phase=Phase.LEAF, solver_to_move=True, since=100, solver_clock=50
    )
    dispute = dataclasses.replace(dispute, challenger_clock=44)
    said = "Phase leaf: the solver is to move, with 30 s left; the challenger has 44 s."
    assert stands(dispute, 120) == said
    assert "ran out of time 10 s ago" in stands(dispute, 160)
    assert stands(dataclasses.replace(dispute, phase=Phase.CLOSED), 0) == "It is closed."


def test_the_operator_on_trial_is_named_with_its_line():
    """Protects whoever reads a story: a node's number says nothing, the user's own line does."""
    program, *_ = small_training()
    node = next(i for i, n in enumerate(program.nodes) if n.name == "DOT")
    descended = move(Descended, {"phase": Phase.TRACE, "level": 0, "index": node, "root": b""})
    said = on_trial(program, [descended])
    assert said == f"On trial: node {node}, DOT, from {program.origin(node)}."
    assert program.origin(node)
    assert on_trial(program, []) is None


def _zeros():
    empty = {"int": 0, "bool": False, "str": SOLVER, "bytes": b"", "Phase": Phase.NONE}
    return (empty[f.type] for f in Dispute.__dataclass_fields__.values())
