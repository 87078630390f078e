"""The scripts: deploying, the tasks' table, a dispute's story, the console's helpers."""

import copy
import dataclasses
import json
import subprocess

import ape
import pytest

import ape_console_extras
from scripts import deploy as deploy_script
from scripts.dispute import on_trial, stands, story, tell
from scripts.make_abi import FOLDER, SOURCES, make_abi
from tests.chain import chains
from tests.games.world import small_training
from worker.chain import Claim, Deployment, Dispute, Phase, connect
from worker.chain.events import (
    ChildrenRevealed,
    CourtEvent,
    DataShown,
    Decided,
    Demanded,
    Descended,
    Dismissed,
    ElementTried,
    LeafRevealed,
    Opened,
    Place,
    RootsRevealed,
    StateAccused,
    StepsNarrowed,
    TensorRevealed,
    TraceRevealed,
)

SOLVER, CHALLENGER = "0x" + "51" * 20, "0x" + "c4" * 20


@ape.fixture(scope="module", chain_isolation=False)
def told():
    return []


@pytest.fixture(scope="module")
def deployment(deployer, solver, told):
    # `solver` is a session's fixture: ape would deploy anew if it came after a module's
    return deploy_script.deploy(
        deployer, told=lambda name, contract: told.append((name, contract.address))
    )


def test_everything_is_deployed_as_the_parameters_say(deployment, told, chain):
    parameters = deploy_script.load_parameters()
    clients = connect(chain.provider.web3, deployment)
    market = clients.market.parameters()
    given = parameters["market"]
    assert (market.challenge_window, market.bond) == (given["challengeWindow"], given["bond"])
    assert (market.court, market.stakes) == (deployment.court, deployment.stakes)
    assert clients.court.clock() == parameters["court"]["clockSeconds"]
    assert clients.stakes.unbonding_delay() == parameters["stakes"]["unbondingDelay"]
    for kind, checker in enumerate(deployment.checkers):
        assert clients.court.checker(kind) == checker
    assert [name for name, _ in told] == [
        "TestToken",
        *deploy_script.CHECKERS,
        "Court",
        "Stakes",
        "BlockhashRandomness",
        "Market",
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
        (put("market", "bond"), r"market\.bond is missing \(uint96\)"),
        (put("market", "owner", value=1), r"market\.owner is no parameter; there are"),
        (put("market", "court", value="0x"), r"market\.court is no parameter"),
        (put("court", "arityBits", value=256), r"court\.arityBits = 256 must be .* 0\.\.255"),
        (put("court", "arityBits", value=True), "whole number"),
        (put("stakes", "unbondingDelay", value="1h"), "unbondingDelay = '1h'"),
        (put("stakes"), "unknown or missing: stakes"),
        (put("oracle", value={}), "unknown or missing: oracle"),
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


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_committed_abi_is_that_of_the_contracts(name):
    path = FOLDER / f"{name}.json"
    assert path.read_text() == make_abi(SOURCES[name]), "stale: ape run make_abi"


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


# --- stories -------------------------------------------------------------------------------------


CLAIM = Claim(
    *(SOLVER, CHALLENGER, b"p" * 32, b"d" * 32, 2, 10, 7, 4, 8),
    *(b"\1" * 32, b"\2" * 32, b"\3" * 32),
)
ROOTS = (b"r" * 32,) * 3
SAID = [
    (Opened, {"client": SOLVER, "claim": CLAIM}, "steps 4 to 7"),
    (RootsRevealed, {"lo": 4, "hi": 8, "roots": ROOTS}, "shows 3 states"),
    (StepsNarrowed, {"lo": 4, "hi": 8, "lo_state": b"", "hi_state": b""}, "not with 8's"),
    (StepsNarrowed, {"lo": 6, "hi": 7, "lo_state": b"", "hi_state": b""}, "accuses step 6"),
    (TraceRevealed, {"step": 6, "trace": b"", "salt": b"", "reports": ROOTS[:1]}, "1 report."),
    (StateAccused, {}, "the next state is not"),
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
    (Descended, {"phase": Phase.ELEMENTS, "level": 0, "index": 3, "root": b""}, "leaf 3"),
    (Descended, {"phase": Phase.TRACE, "level": 4, "index": 1, "root": b""}, "part 1 at level 4"),
    (TensorRevealed, {"item": 9, "dtype": 1, "count": 100, "elements": b""}, "100 elements of f32"),
    (LeafRevealed, {"index": 3, "data": bytes(1024)}, "1024 bytes of leaf 3"),
    (
        ElementTried,
        {"node": 9, "element": 300, "committed": 0x3F800000, "recomputed": 0x3F800001},
        "it is 0x3f800001, and the solver committed to 0x3f800000",
    ),
    (Decided, {"solver_guilty": True, "reason": b"element".ljust(32, b"\0")}, "guilty (element)"),
    (Decided, {"solver_guilty": False, "reason": b"time".ljust(32, b"\0")}, "challenger loses"),
    (Dismissed, {}, "nobody wins"),
    (Demanded, {"word": 77}, "demands a leaf"),
    (DataShown, {"tensor": 2, "leaf": 5, "data": bytes(1024)}, "leaf 5 of tensor 2"),
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
