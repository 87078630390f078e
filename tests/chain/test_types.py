"""The dataclasses, the events and the wrappers say what the contracts' ABIs say."""

import re

import pytest

from worker.chain import contracts, types
from worker.chain.abi import NAMES, find_struct, load_abi
from worker.chain.events import EVENTS

STRUCTS = types.Struct.__subclasses__()
# Called by other contracts, not by people.
NOT_WRAPPED = {
    "Market": {"hold", "unhold", "condemn", "punish", "bound", "parties"},
    "Disputes": {"onVerdict"},
    "Court": {"open", "demand"},
    "Stakes": {"lock", "release", "slash", "award"},
    "Verifiers": {"draw", "done"},
}


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")


def components(name):
    return [snake(part["name"]) for part in find_struct(name)["components"]]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda s: s.__name__)
def test_struct_has_the_fields_of_its_solidity_twin_in_order(struct):
    assert list(struct.__dataclass_fields__) == components(struct.__name__)


@pytest.mark.parametrize(
    "contract", ["Market", "Disputes", "Court", "Stakes", "Verifiers", "Token"]
)
def test_every_event_has_its_class(contract):
    for entry in (e for e in load_abi(contract) if e["type"] == "event"):
        cls = EVENTS[contract, entry["name"]]
        names = [snake(p["name"]) for p in entry["inputs"]]
        if contract == "Token":  # `from` is no name in Python
            names = {"Transfer": ["sender", "recipient", "amount"]}.get(
                entry["name"], ["owner", "spender", "amount"]
            )
        assert cls.word_names() == names


@pytest.mark.parametrize("contract", ["Market", "Disputes", "Court", "Stakes", "Verifiers"])
def test_every_function_for_people_has_its_method(contract):
    wrapper = getattr(contracts, contract)
    functions = {e["name"] for e in load_abi(contract) if e["type"] == "function"}
    functions -= NOT_WRAPPED[contract]
    # addresses, which a deployment knows; the court's `disputes` is their number
    if contract != "Court":
        functions -= {"token", "stakes", "court", "randomness", "verifiers", "market", "disputes"}
    missing = {f for f in functions if not hasattr(wrapper, snake(f))}
    assert not missing


def test_enums_count_as_solidity_does():
    order = "NONE OPEN ASSIGNED COMMITTED VERIFYING SETTLED CONDEMNED EXPIRED CANCELLED"
    assert [s.name for s in types.Status] == order.split()
    order = "NONE SEALED WAITING RUNNING CONVICTING LOST LAPSED MOOT"
    assert [s.name for s in types.Standing] == order.split()
    order = "NONE STEPS STEP TRACE STATE REPORTS TENSOR ELEMENTS LEAF PROOF CLOSED DATA"
    assert [p.name for p in types.Phase] == order.split()


def test_nested_struct_survives_the_trip():
    opening = types.Opening(
        dtype=1,
        count=3,
        elements=b"\1" * 32,
        path=(b"\2" * 32,),
        leaves=b"\3" * 1024,
        leaves_path=(b"\4" * 32, b"\5" * 32),
    )
    assert types.Opening.from_abi(opening.to_abi()) == opening
    assert opening.encoded()


def test_segment_ranges_cover_the_steps():
    job = types.Job(b"p" * 32, b"s" * 32, b"d" * 32, 1, 10, 7, steps=10, segment_steps=4)
    assert job.segments == 3
    assert [list(job.segment_range(i)) for i in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    with pytest.raises(ValueError, match="segment=3"):
        job.segment_range(3)


@pytest.mark.parametrize(
    ("status", "held", "due"),
    [
        (types.Status.OPEN, False, "close"),
        (types.Status.ASSIGNED, False, "expire"),
        (types.Status.ASSIGNED, True, ""),
        (types.Status.VERIFYING, False, "settle"),
        (types.Status.VERIFYING, True, ""),
        (types.Status.CONDEMNED, False, ""),
        (types.Status.CONDEMNED, True, ""),
    ],
)
def test_what_is_due_is_what_the_market_takes(status, held, due):
    """Protects the keeper and `ape run withdraw` from a transaction that the market refuses: at
    each deadline nothing is due yet, right after it the call is; accusations hold up the end."""
    values = dict.fromkeys(types.Task.__dataclass_fields__, 0)
    deadlines = dict.fromkeys(("bid_until", "commit_until", "window_ends"), 100)
    task = types.Task(**{**values, **deadlines, "status": status, "held": held})
    assert task.due(now=100) == ""
    assert task.due(now=101) == due


def test_a_draw_is_due_as_soon_as_all_is_committed():
    """Protects draws from waiting for a clock: their word alone says when they may be made."""
    values = dict.fromkeys(types.Task.__dataclass_fields__, 0)
    for held in (False, True):
        task = types.Task(**{**values, "status": types.Status.COMMITTED, "held": held})
        assert task.due(now=0) == "draw"


@pytest.mark.parametrize("name", NAMES)
def test_abi_holds_no_constructor(name):
    assert {e["type"] for e in load_abi(name)} <= {"function", "event", "error"}


def test_unknown_abi_is_named():
    with pytest.raises(ValueError, match="Oracle"):
        load_abi("Oracle")
