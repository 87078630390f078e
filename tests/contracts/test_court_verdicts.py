"""Who wins: every cheat is convicted, an honest solver never, and silence loses."""

from __future__ import annotations

import random

import ape
import pytest
import torch
from eth_abi import encode
from eth_utils import keccak

from tests.contracts import court_fixtures as fx
from tests.contracts.court_fixtures import Game, Transcript
from worker.commit import LEAF_BYTES
from worker.program.codes import F32, I32, I64, Kind, Map, Reduce, Source
from worker.program.program import Program
from worker.program.records import Node

CLOCK = fx.CLOCK
STEP = 16  # where all cheats are
NOTHING = bytes(32)


@pytest.fixture(scope="module")
def court_and_client(project, deployer):
    return fx.deploy_court(project, deployer, 4)


@pytest.fixture(scope="module")
def court(court_and_client):
    return court_and_client[0]


@pytest.fixture(scope="module")
def client(court_and_client):
    return court_and_client[1]


@pytest.fixture(scope="module")
def honest(solver):
    return Transcript.compute(fx.miniature(), fx.first_state(), fx.data_set(), solver.address)


@pytest.fixture
def start(court, client, honest, solver, challenger):
    """A dispute about a transcript, the honest one if none is given."""

    def start(theirs=honest, own=honest, step=STEP):
        return Game(court, client, theirs, own, solver, challenger, wrong_step=step)

    return start


@pytest.fixture
def verdict(client):
    """What the client has been told of one dispute: exactly one word, or none."""

    def verdict(game):
        told = [v.solverGuilty for v in client.verdicts() if v.dispute == game.id]
        assert len(told) <= 1
        return told[0] if told else None

    return verdict


def decided(receipt, court):
    (event,) = receipt.decode_logs(court.Decided)
    return event.dispute, event.solverGuilty, event.reason.rstrip(b"\x00").decode()


def convicts(game, court, verdict, reason):
    """Plays on to the proof, which decides."""
    game.play(until=fx.PROOF)
    assert verdict(game) is None
    receipt = game.challenger_move()
    assert decided(receipt, court) == (game.id, True, reason)
    assert game.d.phase == fx.CLOSED
    assert verdict(game) is True
    return receipt


# --- a dishonest solver loses to one honest challenger ---


@pytest.mark.parametrize("node", range(14))
def test_a_wrong_element_of_any_node_is_convicted(start, court, honest, verdict, node):
    cheat = honest.copy()
    tensor = cheat.traces[STEP][node]
    element = random.Random(node).randrange(tensor.count)
    size = LEAF_BYTES // tensor.per_leaf
    right = int.from_bytes(tensor.data[element * size :][:size], "little")
    wrong = right ^ 1
    change = wrong.to_bytes(size, "little")
    cheat.traces[STEP][node] = fx.changed(tensor, element * size, change)
    receipt = convicts(start(cheat), court, verdict, "element")
    (event,) = receipt.decode_logs(court.ElementTried)
    assert (event.node, event.element) == (node, element)
    assert (event.committed, event.recomputed) == (wrong, right)


def test_a_nan_that_is_not_canonical_is_convicted(start, court, honest, verdict):
    cheat = honest.copy()
    tensor = cheat.traces[STEP][5]
    at = 4 * fx.NAN_AT
    assert tensor.data[at : at + 4] == b"\x00\x00\xc0\x7f"
    cheat.traces[STEP][5] = fx.changed(tensor, at, b"\x01")
    convicts(start(cheat), court, verdict, "element")


@pytest.mark.parametrize("position", [12, 15, 256, 511])
def test_padding_that_is_not_zero_is_convicted(start, court, honest, verdict, position):
    cheat = honest.copy()
    cheat.traces[STEP][12] = fx.changed(cheat.traces[STEP][12], position, b"\x80")
    convicts(start(cheat), court, verdict, "padding")


@pytest.mark.parametrize("dtype, count", [(2, 3), (1, 4), (1, 1), (3, 3), (4, 2**40)])
def test_another_shape_is_convicted(start, court, honest, verdict, dtype, count):
    cheat = honest.copy()
    tensor = cheat.traces[STEP][12]
    cheat.traces[STEP][12] = fx.committed(dtype, count, tensor.data)
    game = start(cheat)
    if count > 2**32:
        # It has one leaf instead of 2^30: no children fold to its root in time.
        d = game.play(until=fx.TENSOR)
        opened = cheat.traces[STEP][d.item]
        with ape.reverts(court.WrongCount):
            court.revealTensor.call(
                game.id, dtype, count, opened.elements, [NOTHING], sender=game.solver
            )
        return
    convicts(game, court, verdict, "shape")


def test_another_shape_is_convicted_before_the_last_leaf(start, court, honest, verdict):
    cheat = honest.copy()
    tensor = cheat.traces[STEP][5]
    cheat.traces[STEP][5] = fx.committed(2, tensor.count, tensor.data)
    game = start(cheat)
    game.play(until=fx.ELEMENTS, solver_to_move=False)
    assert decided(game.challenger_move(), court) == (game.id, True, "shape")
    assert verdict(game) is True


@pytest.mark.parametrize("tensor", range(3))
def test_a_state_that_the_trace_did_not_produce_is_convicted(start, court, honest, verdict, tensor):
    cheat = honest.copy()
    cheat.states[STEP + 1][tensor] = fx.changed(cheat.states[STEP + 1][tensor], 0, b"\x99")
    game = start(cheat)
    convicts(game, court, verdict, "state")
    assert ("accuseState" in dict(game.gas)) is True


@pytest.mark.parametrize("step", [fx.FIRST, 13, STEP])
@pytest.mark.parametrize("report", range(2))
def test_a_report_that_the_trace_did_not_produce_is_convicted(
    start, court, honest, verdict, step, report
):
    cheat = honest.copy()
    cheat.reports[step][report] = b"\x22" * 32
    game = start(cheat, step=step)
    convicts(game, court, verdict, "report")
    assert game.d.item == report and "accuseReports" in dict(game.gas)


def test_the_first_wrong_step_is_found_however_the_error_spreads(
    start, court, honest, solver, verdict
):
    def tamper(step, node, output):
        return output * 2 if (step, node) == (12, 6) else output

    cheat = Transcript.compute(
        fx.miniature(), fx.first_state(), fx.data_set(), solver.address, tamper=tamper
    )
    game = start(cheat, step=None)
    game.play(until=fx.PROOF)
    assert (game.d.lo, game.d.item) == (12, 6)
    convicts(game, court, verdict, "element")


@pytest.mark.parametrize("arity_bits", [1, 3, 8])
def test_a_descent_of_any_fan_out_convicts(
    project, deployer, honest, solver, challenger, arity_bits
):
    """Protects challengers: of many small moves, which begin and end within a tree, as of few."""
    court, client = fx.deploy_court(project, deployer, arity_bits)
    cheat = honest.copy()
    cheat.traces[STEP][5] = fx.changed(cheat.traces[STEP][5], 4 * 1700, b"\x11\x22")
    game = Game(court, client, cheat, honest, solver, challenger, wrong_step=STEP)
    game.play()
    assert client.verdicts()[-1] == (game.id, True)
    moves = [name for name, _ in game.gas]
    assert moves.count("descend") == 2 * -(-4 // arity_bits)


def test_anyone_may_prove(start, court, honest, verdict, outsider):
    cheat = honest.copy()
    cheat.traces[STEP][9] = fx.changed(cheat.traces[STEP][9], 0, b"\x11\x22")
    game = start(cheat)
    game.play(until=fx.PROOF)
    name, arguments = game.challenger_answer()
    game.send(name, *arguments, sender=outsider)
    assert verdict(game) is True


# --- an honest solver does not lose, whatever is tried ---


@pytest.mark.parametrize("node", range(14))
def test_no_element_of_an_honest_trace_is_convicted(start, court, honest, outsider, node):
    game = start()
    tensor = honest.traces[STEP][node]
    leaf = (tensor.count - 1) // tensor.per_leaf
    d = game.walk(node, leaf)
    first = leaf * tensor.per_leaf
    size = LEAF_BYTES // tensor.per_leaf
    for position in {0, tensor.count - 1 - first}:
        name, arguments = game.element_proof(position)
        at = (first + position) * size
        value = int.from_bytes(tensor.data[at : at + size], "little")
        with ape.reverts(court.ElementFollows, value=value):
            getattr(court, name).call(game.id, *arguments, sender=outsider)
        data = arguments[4]
        with ape.reverts(court.NotPadding, element=first + position, count=tensor.count):
            court.provePadding.call(game.id, data, position, sender=outsider)
    if tensor.count % tensor.per_leaf:
        behind = tensor.count - first
        with ape.reverts(court.NotPadding, element=tensor.count, count=tensor.count):
            court.provePadding.call(game.id, data, behind, sender=outsider)
        given = list(arguments)
        given[5] = behind
        with ape.reverts(court.NoSuchPart, part=tensor.count, parts=tensor.count):
            court.proveElement.call(game.id, *given, sender=outsider)
    _, arguments = game.shape_proof()
    with ape.reverts(court.NotTheShape, dtype=tensor.dtype, count=tensor.count):
        court.proveShape.call(game.id, *arguments, sender=outsider)
    assert d.phase == fx.PROOF


@pytest.mark.parametrize("step", [fx.FIRST, fx.LAST - 1])
def test_the_ends_of_a_segment_are_the_claims(start, court, honest, outsider, step):
    """Protects honest solvers in the first step, which reads the state that the segment starts
    from, and in the last, whose state is the one that was committed to."""
    game = start(step=step)
    game.walk(0)
    _, arguments = game.element_proof(0)
    value = int.from_bytes(honest.traces[step][0].data[:4], "little")
    with ape.reverts(court.ElementFollows, value=value):
        court.proveElement.call(game.id, *arguments, sender=outsider)
    game = start(step=step)
    game.walk(0, accused=fx.STATE)
    _, arguments = game.output_proof(game.d)
    with ape.reverts(court.CommitmentFollows, item=honest.states[step + 1][0].item):
        court.proveOutput.call(game.id, *arguments, sender=outsider)


@pytest.mark.parametrize("tensor", range(3))
def test_no_state_of_an_honest_segment_is_convicted(start, court, honest, outsider, tensor):
    game = start()
    d = game.walk(tensor, accused=fx.STATE)
    _, arguments = game.output_proof(d)
    item = honest.states[STEP + 1][tensor].item
    with ape.reverts(court.CommitmentFollows, item=item):
        court.proveOutput.call(game.id, *arguments, sender=outsider)
    # Nor by an output of another place, another node, or another item.
    claim, header, node, output_path, item, trace_path = arguments
    others = {
        "another output": (header, *game.output((tensor + 1) % 3)),
        "a report": (header, *game.output(3)),
        "another node": (header, node + 1, output_path, item, trace_path),
        "another item": (header, node, output_path, NOTHING, trace_path),
        "another path": (header, node, output_path, item, trace_path[::-1]),
    }
    for given in others.values():
        with ape.reverts(court.DoesNotHash):
            court.proveOutput.call(game.id, claim, *given, sender=outsider)
    with ape.reverts(court.WrongClaim):
        court.proveOutput.call(game.id, {**claim, "seed": 1}, *arguments[1:], sender=outsider)
    with ape.reverts(court.WrongProgram):
        changed = (*header[:4], header[4] + 1)
        court.proveOutput.call(game.id, claim, changed, *arguments[2:], sender=outsider)


@pytest.mark.parametrize("report", range(2))
def test_no_report_of_an_honest_step_is_convicted(start, court, honest, outsider, report):
    game = start()
    d = game.walk(report, accused=fx.REPORTS)
    _, arguments = game.output_proof(d)
    with ape.reverts(court.CommitmentFollows, item=honest.reports[STEP][report]):
        court.proveOutput.call(game.id, *arguments, sender=outsider)
    claim, header, node, output_path, _, trace_path = arguments
    others = {
        "the other report": (header, *game.output(4 - report)),
        "a state": (header, *game.output(report)),
        "another item": (header, node, output_path, NOTHING, trace_path),
    }
    for given in others.values():
        with ape.reverts():  # another output's path may have another length
            court.proveOutput.call(game.id, claim, *given, sender=outsider)


def test_an_element_is_tried_as_it_was_committed_and_recorded(start, court, honest, outsider):
    """No argument of a proof can be replaced by another."""
    game = start()
    game.walk(9)
    _, good = game.element_proof(0)
    claim, header, node, path, data, _, openings = good

    def refuses(error, place, value, **fields):
        given = [*good[:place], value, *good[place + 1 :]]
        with ape.reverts(error, **fields):
            court.proveElement.call(game.id, *given, sender=outsider)

    for name in claim:
        if isinstance(claim[name], int):
            value = claim[name] + 1
        else:
            value = "0x" + "33" * 20 if isinstance(claim[name], str) else b"\x33" * 32
        refuses(court.WrongClaim, 0, {**claim, name: value})
    refuses(court.WrongProgram, 1, (*header[:4], header[4] + 1))
    refuses(court.DoesNotHash, 2, honest.program.nodes[8].to_abi())
    refuses(court.DoesNotHash, 2, (*node[:5], (0,)))
    refuses(court.DoesNotHash, 3, path[::-1])
    refuses(court.PathLength, 3, path[1:])
    refuses(court.DoesNotHash, 4, bytes(LEAF_BYTES))
    refuses(court.WrongCount, 4, data[:-1], given=LEAF_BYTES - 1, expected=LEAF_BYTES)
    for position in (128, 2**255):
        refuses(court.NoSuchPart, 5, position, part=position, parts=128)
    wrong = [openings[0], (*openings[1][:3], openings[1][3][::-1], *openings[1][4:])]
    for given in ([], openings[:1], openings[::-1], wrong):
        with ape.reverts():
            court.proveElement.call(game.id, *good[:6], given, sender=outsider)


def test_an_element_of_another_shape_is_no_element(start, court, honest, outsider):
    cheat = honest.copy()
    cheat.traces[STEP][12] = fx.committed(2, 3, cheat.traces[STEP][12].data)
    game = start(cheat)
    game.play(until=fx.PROOF)
    _, arguments = game.element_proof(0)
    with ape.reverts(court.NotTheShape, dtype=1, count=3):
        court.proveElement.call(game.id, *arguments, sender=outsider)


# --- clocks ---


@pytest.mark.parametrize(
    "phase", [fx.STEPS, fx.STEP, fx.TRACE, fx.STATE, fx.TENSOR, fx.ELEMENTS, fx.LEAF]
)
def test_a_solver_that_falls_silent_loses(
    project, deployer, honest, solver, challenger, chain, outsider, phase
):
    court, client = fx.deploy_court(project, deployer, 2)  # a tree takes more than one move
    cheat = honest.copy()
    if phase == fx.STATE:
        cheat.states[STEP + 1][2] = cheat.states[STEP][2]
    else:
        cheat.traces[STEP][5] = fx.changed(cheat.traces[STEP][5], 0, b"\x11\x22")
    game = Game(court, client, cheat, honest, solver, challenger, wrong_step=STEP)
    d = game.play(until=phase, solver_to_move=True)
    chain.pending_timestamp = d.since + d.solverClock
    with ape.reverts(court.ClockStillRunning, secondsLeft=0):
        court.callTime(game.id, sender=outsider)
    name, arguments = game.solver_answer()
    chain.pending_timestamp = d.since + d.solverClock + 2
    with ape.reverts(court.ClockRunOut, secondsOver=2):
        game.send(name, *arguments, sender=game.solver)
    receipt = court.callTime(game.id, sender=outsider)
    assert decided(receipt, court) == (game.id, True, "time")
    assert [tuple(told) for told in client.verdicts()] == [(game.id, True)]


@pytest.mark.parametrize("phase", [fx.STEPS, fx.TRACE, fx.STATE, fx.ELEMENTS, fx.PROOF])
def test_a_challenger_that_falls_silent_loses(
    start, court, honest, chain, verdict, outsider, phase
):
    cheat = honest.copy()
    if phase == fx.STATE:
        cheat.states[STEP + 1][2] = cheat.states[STEP][2]
    else:
        cheat.traces[STEP][5] = fx.changed(cheat.traces[STEP][5], 0, b"\x11\x22")
    game = start(cheat)
    d = game.play(until=phase, solver_to_move=False)
    chain.pending_timestamp = d.since + d.challengerClock - 5
    with ape.reverts(court.ClockStillRunning, secondsLeft=5):
        court.callTime(game.id, sender=outsider)
    name, arguments = game.challenger_answer()
    chain.pending_timestamp = d.since + d.challengerClock + 1
    sender = outsider if phase == fx.PROOF else game.challenger
    with ape.reverts(court.ClockRunOut, secondsOver=1):
        game.send(name, *arguments, sender=sender)
    receipt = court.callTime(game.id, sender=outsider)
    assert decided(receipt, court) == (game.id, False, "time")
    assert verdict(game) is False


def test_a_move_at_the_last_second_counts(start, chain):
    game = start()
    d = game.d
    chain.pending_timestamp = d.since + d.solverClock
    game.solver_move()
    assert (game.d.solverClock, game.d.challengerClock) == (0, CLOCK)


def test_clocks_are_charged_and_never_reset(start, court, honest, chain):
    """Each side has one allowance for the whole dispute; a move costs its own side alone."""
    cheat = honest.copy()
    cheat.traces[STEP][5] = fx.changed(cheat.traces[STEP][5], 0, b"\x11\x22")
    game = start(cheat)
    left = {True: CLOCK, False: CLOCK}
    moves = 0
    while game.d.phase != fx.PROOF:
        d, spent = game.d, 11 + moves
        chain.pending_timestamp = d.since + spent
        left[d.solverToMove] -= spent
        game.solver_move() if d.solverToMove else game.challenger_move()
        after = game.d
        assert after.since == d.since + spent
        assert (after.solverClock, after.challengerClock) == (left[True], left[False])
        moves += 1
    assert moves == 7
    # What was spent is spent: the challenger has only the rest for its proof.
    d = game.d
    name, arguments = game.challenger_answer()
    chain.pending_timestamp = d.since + left[False] + 1
    with ape.reverts(court.ClockRunOut, secondsOver=1):
        game.send(name, *arguments, sender=game.challenger)


def test_a_refused_move_costs_no_time_and_changes_nothing(start, court, chain):
    game = start()
    before = game.d
    chain.pending_timestamp = before.since + 100
    with ape.reverts(court.WrongCount):
        court.revealRoots(game.id, [], sender=game.solver)
    assert game.d == before


# --- the client ---


def test_a_client_that_fails_keeps_the_dispute_open(
    start, court, client, honest, verdict, outsider
):
    cheat = honest.copy()
    cheat.reports[STEP][0] = b"\x22" * 32
    game = start(cheat)
    game.play(until=fx.PROOF)
    client.setFailing(True, sender=outsider)
    with ape.reverts():
        game.challenger_move()
    assert game.d.phase == fx.PROOF
    client.setFailing(False, sender=outsider)
    game.challenger_move()
    assert verdict(game) is True


def test_disputes_do_not_touch_each_other(start, court, honest, verdict):
    """Two cheats and an honest segment, played move by move in turn."""
    first, second = honest.copy(), honest.copy()
    first.traces[STEP][5] = fx.changed(first.traces[STEP][5], 0, b"\x11\x22")
    second.states[STEP + 1][0] = fx.changed(second.states[STEP + 1][0], 0, b"\x11\x22")
    games = [start(first), start(second), start()]
    open_games = list(games)
    while open_games:
        for game in list(open_games):
            d = game.d
            if d.phase == fx.CLOSED:
                open_games.remove(game)
            elif d.solverToMove:
                game.solver_move()
            elif game is games[2]:
                open_games.remove(game)  # there is nothing to descend to
            else:
                game.challenger_move()
    assert [verdict(game) for game in games] == [True, True, None]


def test_the_claim_is_kept_as_its_hash(start, court):
    game = start()
    types = (
        "(address,address,bytes32,bytes32,uint32,uint64,uint64,uint64,uint64,"
        "bytes32,bytes32,bytes32)"
    )
    assert game.d.claim == keccak(encode([types], [tuple(game.claim.values())]))


# --- gas ---


def test_what_a_dispute_costs(start, court, honest):
    """Most for one move, and for a whole dispute about a map's element."""
    cheat = honest.copy()
    cheat.traces[STEP][5] = fx.changed(cheat.traces[STEP][5], 4 * 2000, b"\x11\x22")
    game = start(cheat)
    game.play()
    most = {}
    for name, gas in game.gas:
        most[name] = max(most.get(name, 0), gas)
    print(most, sum(gas for _, gas in game.gas))
    assert most["open"] <= 320_000
    assert most["revealRoots"] <= 90_000
    assert most["revealTrace"] <= 220_000
    assert most["descend"] <= 90_000
    assert most["revealTensor"] <= 90_000
    assert most["revealLeaf"] <= 90_000
    assert most["proveElement"] <= 300_000
    assert sum(gas for _, gas in game.gas) <= 3_000_000


DOT_LENGTH = 1024
LONGEST = 2048


def dots():
    """The products of the rows of one state tensor with each other."""
    shape = (2, DOT_LENGTH)
    rows = (fx.plain(2, I32, *shape), fx.plain(1, I32, 2))
    quantised = (fx.mapped(0, F32, shape, 0, 1, 0, 0, 0, 1), fx.mapped(1, I32, (2,), 0, 1, 0))
    nodes = (
        Node(Kind.SOURCE, Source.STATE, F32, shape, (), (0,)),
        Node(Kind.REDUCE, Reduce.EXPONENT, I32, (2,), (fx.plain(0, F32, *shape),)),
        Node(Kind.MAP, Map.QUANTISE, I32, shape, quantised, (14,)),
        Node(Kind.DOT, 0, F32, (2, 2), rows * 2, (1, 2, 2, DOT_LENGTH, 14)),
    )
    return Program(nodes, (0, 3), ("x",))


def test_what_a_proof_of_a_long_dot_costs(start, court, honest, solver, verdict):
    state = [torch.randn(2, DOT_LENGTH, generator=torch.Generator().manual_seed(3))]
    own = Transcript.compute(dots(), state, fx.data_set(), solver.address)
    cheat = own.copy()
    cheat.traces[STEP][3] = fx.changed(cheat.traces[STEP][3], 4, b"\x11\x22")
    game = start(cheat, own)
    game.play(until=fx.PROOF)
    name, arguments = game.element_proof(1)
    trace, tree = cheat.traces[STEP], cheat.trace_tree(STEP)
    spans = [(2, 0, DOT_LENGTH), (1, 0, 1), (2, DOT_LENGTH, DOT_LENGTH), (1, 1, 1)]
    openings = [fx.opening(trace[n], tree.path(n), *span) for n, *span in spans]
    receipt = game.send(name, *arguments[:6], openings, sender=game.challenger)
    assert verdict(game) is True
    print("dot", receipt.gas_used)
    assert receipt.gas_used <= 1_000_000


def scatter():
    """The sum of one state tensor's elements by the other's indices."""
    elements = fx.mapped(0, F32, (1, LONGEST), 0, 1, 0, 0, 0, 1)
    exponent = fx.mapped(2, I32, (1,), 0, 1, 0)
    operands = (fx.plain(3, I32, 1, LONGEST), fx.plain(2, I32, 1), fx.plain(1, I64, LONGEST))
    nodes = (
        Node(Kind.SOURCE, Source.STATE, F32, (1, LONGEST), (), (0,)),
        Node(Kind.SOURCE, Source.STATE, I64, (LONGEST,), (), (1,)),
        Node(Kind.REDUCE, Reduce.EXPONENT, I32, (1,), (fx.plain(0, F32, 1, LONGEST),)),
        Node(Kind.MAP, Map.QUANTISE, I32, (1, LONGEST), (elements, exponent), (31,)),
        Node(Kind.SCATTER, 0, F32, (50_000, 1), operands, (50_000, 1, LONGEST)),
    )
    return Program(nodes, (0, 1, 4), ("x", "index"))


def test_what_a_proof_of_the_longest_scatter_costs(start, court, honest, solver, verdict):
    generator = torch.Generator().manual_seed(3)
    index = torch.randint(0, 50_000, (LONGEST,), generator=generator)
    index[7] = 2
    state = [torch.randn(1, LONGEST, generator=generator), index]
    own = Transcript.compute(scatter(), state, fx.data_set(), solver.address)
    cheat = own.copy()
    cheat.traces[STEP][4] = fx.changed(cheat.traces[STEP][4], 8, b"\x11\x22\x33")
    game = start(cheat, own)
    game.play(until=fx.PROOF)
    name, arguments = game.element_proof(2)
    trace, tree = cheat.traces[STEP], cheat.trace_tree(STEP)
    spans = [(3, 0, LONGEST), (2, 0, 1), (1, 0, LONGEST)]
    openings = [fx.opening(trace[n], tree.path(n), *span) for n, *span in spans]
    receipt = game.send(name, *arguments[:6], openings, sender=game.challenger)
    assert verdict(game) is True
    print("scatter", receipt.gas_used)
    assert receipt.gas_used <= 1_000_000
