"""What people type, and what it ends with."""

import json

import pytest
import torch
from click.testing import CliRunner

from tests.chain import chains
from worker.chain import Job, Terms, connect
from worker.chain.events import Posted
from worker.cli import Exit, cli, shown, units

JOB = Job(b"p" * 32, b"s" * 32, b"d" * 32, 2, 10, 0, 4, 2)

TOKEN = 10**18


@pytest.fixture
def call(home):
    """Calls the command line as the home's worker."""

    def make(*arguments, key=True, config=True, code=Exit.OK):
        environment = {"ASSAY_KEY": "", "ASSAY_KEY_FILE": str(home.key) if key else ""}
        more = ["--config", str(home.config)] if config else []
        done = CliRunner().invoke(cli, [*arguments, *more], env=environment)
        assert done.exit_code == code, done.output
        return done.output

    return make


@pytest.fixture
def rich(home, node):
    """The worker's clients, with a thousand tokens."""
    clients = connect(*node, home.account, poll=0.02)
    clients.token.mint(clients.address, 1_000 * TOKEN)
    return clients


def test_who_leaves_takes_back_the_bids_that_may_be(call, rich):
    """Protects operators from a fine for what a stopped worker had bid for; what binds is named."""
    call("stake", "500")
    me, market, stakes = rich.address, rich.market, rich.stakes
    rich.token.ensure_allowance(market.address, 100)

    def bid(seconds):
        until = rich.now() + seconds
        terms = Terms(40, 2, until, until + 1_000, JOB.segments, 60)
        number = market.post(JOB, terms).one(Posted).task
        market.bid(number, 30)
        return number

    binds, other = bid(100), bid(2_000)
    chains.mine(rich.w3, 60)
    said = call("unbond", "all")
    assert f"the bid for task {binds} binds" in said and "market.withdrawBid: block" in said
    assert market.task(binds).solver == me and not market.task(other).has_solver
    assert stakes.locked(me, market.address) == market.task(binds).solver_stake
    assert stakes.free(me) == 0


def test_a_workers_stake_from_deposit_to_withdrawal(call, rich):
    me, market, stakes, units = rich.address, rich.market, rich.stakes, rich.verifiers
    assert "stakes.deposit: block" in call("stake", "250.5")
    assert stakes.free(me) == 250 * TOKEN + TOKEN // 2
    assert stakes.is_locker(me, market.address) and stakes.is_locker(me, units.address)
    assert rich.token.allowance(me, stakes.address) == 0

    again = call("stake", "1")  # only what is not done yet
    assert "approveLocker" not in again

    units.offer(5)  # as the role does
    assert "50 TEST of units stay locked up to" in call("unbond", "all")
    assert units.units_of(me) == 0
    assert "50 TEST of units stay locked up to" in call("unbond", "all")
    chains.mine(rich.w3, units.draw_time() + 1)

    said = call("unbond", "all")
    assert "verifiers.release: block" in said and "withdrawable from" in said
    assert stakes.free(me) == stakes.locked(me, units.address) == 0
    assert "no free stake" in call("unbond", "all")
    assert "still unbonding" in call("withdraw")
    chains.mine(rich.w3, stakes.unbonding_delay())
    assert "stakes.withdraw: block" in call("withdraw")
    assert rich.token.balance_of(me) == 1_000 * TOKEN
    assert "nothing to withdraw" in call("withdraw")


def test_check_shows_where_a_worker_stands(call, rich):
    call("stake", "10")
    found = json.loads(call("check", "--json"))
    assert found["address"] == rich.address
    assert found["computes_on"].startswith("cuda" if torch.cuda.is_available() else "cpu")
    assert (found["balance"], found["stake_free"]) == ("990", "10")
    assert found["market_may_lock"] and found["units_may_be_locked"] and not found["dry"]
    assert (found["units"], found["unit_stake"]) == (0, "10")
    assert "work units" in found["speed"] and "perceptron" in found["sample_job"]
    assert 0 < float(found["of_it_for_time"]) <= float(found["sample_price"])
    assert "python -m worker stake" not in call("check")


def test_check_advises(call):
    assert "Not ready to work yet" in call("check")
    assert "No key" in call("check", key=False)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("stake", "5"), "which is less than 5"),
        (("stake", "abc"), "is no number"),
        (("stake", "0"), "must be above 0"),
        (("unbond", "1"), "NotEnoughFree"),
    ],
)
def test_refusals_are_one_message(home, call, arguments, said):
    code = {"which": Exit.CONFIG, "NotEn": Exit.CHAIN}.get(said[:5], Exit.USAGE)
    output = call(*arguments, code=code)
    assert said in output and "Traceback" not in output


def test_sending_needs_a_key(call):
    assert "there is no key" in call("stake", "5", key=False, code=Exit.CONFIG)


def test_a_node_that_does_not_answer(home, call):
    text = home.config.read_text()
    home.config.write_text(text.replace(home.w3.provider.endpoint_uri, "http://127.0.0.1:1/secret"))
    output = call("check", code=Exit.CHAIN)
    assert "the node at http://127.0.0.1:1/..." in output
    assert "secret" not in output


def test_a_wrong_config_and_the_trace_on_demand(home, call):
    home.config.write_text("[chain]\n")
    assert "chain.deployment is missing" in call("check", code=Exit.CONFIG)
    arguments = ["--debug", "check", "--config", str(home.config)]
    done = CliRunner().invoke(cli, arguments)
    assert type(done.exception).__name__ == "ConfigError"


def test_what_a_daemon_left_in_the_outbox_is_settled_first(home, call, node):
    token = connect(*node).token
    with chains.automine_off(home.w3):
        process = home.start(role="minter")
        chains.wait_for(home.outbox.exists, "a signed transaction")
        process.kill()
        process.wait()
    assert "nothing to withdraw" in call("withdraw")
    assert not home.outbox.exists()
    assert token.balance_of(home.account.address) == 1


def test_init_writes_an_example_and_overwrites_nothing(tmp_path):
    path = tmp_path / "mine.toml"
    done = CliRunner().invoke(cli, ["init", str(path)])
    assert (done.exit_code, path.exists()) == (Exit.OK, True)
    path.write_text("mine")
    done = CliRunner().invoke(cli, ["init", str(path)])
    assert (done.exit_code, path.read_text()) == (Exit.USAGE, "mine")
    assert "[chain]" in CliRunner().invoke(cli, ["init", "--print"]).output


@pytest.mark.parametrize("command", ["", "run", "check", "stake", "unbond", "withdraw", "init"])
def test_help_teaches(command):
    done = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert done.exit_code == Exit.OK
    assert len(done.output) > 150


def test_amounts_are_exact():
    assert units("0.000000000000000001", 18) == 1
    assert units("1e3", 18) == 1_000 * TOKEN
    assert shown(1_500 * TOKEN, 18) == "1500"
    assert shown(1, 18) == "0.000000000000000001"
    assert shown(0, 18) == "0"
    for text in ("1.5", "-1", "nan", "inf", "x"):
        with pytest.raises(Exception, match=r"must be|no number"):
            units(text, 0)


@pytest.mark.parametrize("content", ["", '{"chain_id": 1', "[1]", '{"nonsense": 1}', '"text"'])
def test_a_damaged_outbox_is_named_with_the_way_out(home, call, content):
    """Protects from a stack trace after a lost power supply, and from deleting what is needed."""
    home.outbox.parent.mkdir(exist_ok=True)
    home.outbox.write_text(content)
    output = call("withdraw", code=Exit.CHAIN)
    assert str(home.outbox) in output.replace("\n", "")
    assert "is damaged" in output and "move the file away" in output


def test_check_refuses_what_cannot_be_written_to(home, call):
    text = home.config.read_text()
    (home.folder / "file").write_text("")
    home.config.write_text(text.replace('store = "store"', 'store = "file/store"'))
    assert "data.store: " in call("check", code=Exit.CONFIG)
    home.config.write_text(text.replace('folder = ".assay"', 'folder = "file/data"'))
    assert "data.folder = " in call("check", code=Exit.CONFIG)
