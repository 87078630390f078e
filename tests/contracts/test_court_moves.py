"""Every move of the court: first what it refuses, then what it does."""

from __future__ import annotations

import ape
import pytest

from tests.contracts import court_fixtures as fx
from tests.contracts.court_fixtures import Game, Transcript
from worker.commit import LEAF_BYTES, list_root, list_tree
from worker.program import Program

CLOCK = fx.CLOCK
ARITY_BITS = 2
NOTHING = b"\x00" * 32
RULERS = {
    # the phases in which a move may be made, and by whom
    "revealRoots": ((fx.STEPS,), "solver"),
    "revealTrace": ((fx.STEP,), "solver"),
    "revealChildren": ((fx.TRACE, fx.STATE, fx.REPORTS, fx.ELEMENTS), "solver"),
    "revealTensor": ((fx.TENSOR,), "solver"),
    "revealLeaf": ((fx.LEAF,), "solver"),
    "descendSteps": ((fx.STEPS,), "challenger"),
    "descend": ((fx.TRACE, fx.STATE, fx.REPORTS, fx.ELEMENTS), "challenger"),
    "accuseState": ((fx.TRACE,), "challenger"),
    "accuseReports": ((fx.TRACE,), "challenger"),
    "proveElement": ((fx.PROOF,), "anyone"),
    "proveShape": ((fx.ELEMENTS, fx.PROOF), "anyone"),
    "provePadding": ((fx.PROOF,), "anyone"),
    "proveOutput": ((fx.PROOF,), "anyone"),
}


@pytest.fixture(scope="module")
def court_and_client(project, deployer):
    return fx.deploy_court(project, deployer, ARITY_BITS)


@pytest.fixture(scope="module")
def court(court_and_client):
    return court_and_client[0]


@pytest.fixture(scope="module")
def client(court_and_client):
    return court_and_client[1]


@pytest.fixture(scope="module")
def honest(solver):
    return Transcript.compute(fx.miniature(), fx.first_state(), fx.data_set(), solver.address)


@pytest.fixture(scope="module")
def cheating(honest):
    """In step 13, node 5 has one wrong element, in its fifth leaf."""
    cheat = honest.copy()
    cheat.traces[13][5] = fx.changed(cheat.traces[13][5], 4 * 1100, b"\x01\x02\x03\x04")
    for step in range(14, fx.LAST + 1):
        cheat.states[step][1] = fx.changed(cheat.states[step][1], 0, b"\x00\x00\x00\x40")
    return cheat


@pytest.fixture
def game(court, client, cheating, honest, solver, challenger):
    return Game(court, client, cheating, honest, solver, challenger)


@pytest.fixture(scope="module")
def some_arguments(honest):
    """Arguments of the right types for every move."""
    header, node = honest.header.to_abi(), honest.program.nodes[5].to_abi()
    claim = honest.claim("0x" + "22" * 20)
    output = (0, [], NOTHING, [])
    return {
        "revealRoots": ([NOTHING],),
        "revealTrace": (claim, header, NOTHING, NOTHING, NOTHING, [], []),
        "revealChildren": ([NOTHING],),
        "revealTensor": (1, 1, NOTHING, []),
        "revealLeaf": (bytes(LEAF_BYTES),),
        "descendSteps": ([NOTHING], 0),
        "descend": (0, NOTHING, []),
        "accuseState": (),
        "accuseReports": (claim, header),
        "proveElement": (claim, header, node, [], bytes(LEAF_BYTES), 0, []),
        "proveShape": (claim, header, node, []),
        "provePadding": (bytes(LEAF_BYTES), 0),
        "proveOutput": (claim, header, *output),
    }


def refuses(game, name, *arguments, error, sender, **fields):
    with ape.reverts(getattr(game.court, error), **fields):
        getattr(game.court, name).call(game.id, *arguments, sender=sender)


def attempt(game, move, sender, error, change=None, **fields):
    """The player's next move, with its arguments changed, is refused."""
    answer = game.solver_answer() if game.d.solverToMove else game.challenger_answer()
    name, arguments = answer
    assert name == move
    given = list(arguments)
    for place, value in (change or {}).items():
        given[place] = value
    refuses(game, name, *given, error=error, sender=sender, **fields)


# --- whose turn it is, in every phase ---


def test_moves_out_of_phase_or_turn_are_refused(
    game, court, some_arguments, solver, challenger, outsider
):
    """In no phase can anyone make a move that belongs to another phase or another side."""
    seen = set()
    while True:
        d = game.d
        if (d.phase, d.solverToMove) not in seen:
            seen.add((d.phase, d.solverToMove))
            for name, (phases, mover) in RULERS.items():
                given = some_arguments[name]
                for sender in (solver, challenger, outsider):
                    may_move = {
                        "solver": d.solverToMove and sender == solver,
                        "challenger": not d.solverToMove and sender == challenger,
                        "anyone": not d.solverToMove,
                    }[mover]
                    # The descent is in the trace: there is nothing to prove of outputs.
                    if d.phase not in phases or name == "proveOutput":
                        error, fields = "WrongPhase", {"phase": d.phase}
                    elif may_move:
                        continue
                    else:
                        error, fields = "NotYourMove", {"mover": sender.address}
                    refuses(game, name, *given, error=error, sender=sender, **fields)
        if d.phase == fx.CLOSED:
            break
        game.solver_move() if d.solverToMove else game.challenger_move()
    both = {(p, s) for p in (fx.STEPS, fx.TRACE, fx.ELEMENTS) for s in (True, False)}
    alone = {(fx.STEP, True), (fx.TENSOR, True), (fx.LEAF, True), (fx.PROOF, False)}
    assert both | alone <= seen
    refuses(game, "callTime", error="WrongPhase", sender=challenger, phase=fx.CLOSED)


def test_an_unknown_dispute_has_no_moves(court, client, game, some_arguments, solver):
    unknown = court.disputes()
    for name, given in {**some_arguments, "callTime": ()}.items():
        with ape.reverts(court.UnknownDispute, dispute=unknown):
            getattr(court, name).call(unknown, *given, sender=solver)


# --- open ---


@pytest.mark.parametrize("last", [fx.FIRST, fx.FIRST - 1, 0])
def test_a_claim_without_steps_opens_nothing(court, client, honest, challenger, last):
    claim = {**honest.claim(challenger.address), "lastStep": last}
    with ape.reverts(court.EmptyClaim):
        client.open(claim, CLOCK, sender=challenger)


def test_a_segment_of_equal_states_can_be_disputed(court, client, honest, challenger):
    """Inference changes no state: its reports are what can be wrong."""
    claim = honest.claim(challenger.address)
    client.open({**claim, "lastState": claim["firstState"]}, CLOCK, sender=challenger)


def test_a_dispute_without_time_is_not_opened(court, client, honest, challenger):
    """Nobody could answer in it."""
    with ape.reverts(court.NoClock):
        client.open(honest.claim(challenger.address), 0, sender=challenger)


@pytest.mark.parametrize("clock", [1, 2**32 - 1])
def test_each_dispute_has_the_clock_that_it_was_opened_with(
    court, client, honest, challenger, clock
):
    client.open(honest.claim(challenger.address), clock, sender=challenger)
    d = court.dispute(court.disputes() - 1)
    assert (d.solverClock, d.challengerClock) == (clock, clock)


def test_open_starts_the_solvers_clock(court, client, game, honest, solver, challenger, chain):
    d = game.d
    assert d.client == client.address
    assert (d.phase, d.solverToMove, d.since) == (fx.STEPS, True, chain.blocks.head.timestamp)
    assert (d.solver, d.challenger) == (solver.address, challenger.address)
    assert (d.solverClock, d.challengerClock) == (CLOCK, CLOCK)
    assert (d.lo, d.hi) == (fx.FIRST, fx.LAST)
    (event,) = chain.blocks.head.transactions[-1].receipt.decode_logs(court.Opened)
    assert (event.dispute, event.client, event.clock) == (game.id, client.address, CLOCK)


def test_a_segment_of_one_step_begins_with_the_step(court, client, honest, solver, challenger):
    one = Transcript.compute(
        fx.miniature(), fx.first_state(), fx.data_set(), solver.address, last=fx.FIRST + 1
    )
    game = Game(court, client, one, one, solver, challenger)
    assert (game.d.phase, game.d.solverToMove) == (fx.STEP, True)
    game.solver_move()
    assert game.d.phase == fx.TRACE


def test_nothing_of_a_claim_is_stored_before_it_is_another(game):
    """Protects accusers' purses: who needs words of the claim brings them."""
    d = game.d
    assert d.claim != NOTHING
    assert [d.loState, d.disputed, d.trace, d.revealed] == [NOTHING] * 4


# --- the solver's moves ---


def test_roots_are_as_many_as_the_interval_has_interior_points(game, solver, court):
    for roots in ([], [NOTHING] * 2, [NOTHING] * 4):
        attempt(game, "revealRoots", solver, "WrongCount", {0: roots}, given=len(roots), expected=3)
    receipt = game.solver_move()
    (event,) = receipt.decode_logs(court.RootsRevealed)
    assert (event.lo, event.hi) == (fx.FIRST, fx.LAST)
    assert list(event.roots) == [game.theirs.state_tree(p).root for p in (11, 13, 15)]


def test_the_trace_comes_with_its_program_and_its_report(game, solver, cheating, court):
    game.play(until=fx.STEP)
    header = cheating.header.to_abi()
    for place in range(5):
        other = list(header)
        other[place] = NOTHING if place in (0, 2) else header[place] + 1
        attempt(game, "revealTrace", solver, "WrongProgram", {1: tuple(other)})
    reports = list_root(cheating.reports[13])
    for given in (NOTHING, list_root(cheating.reports[13][::-1])):
        attempt(game, "revealTrace", solver, "DoesNotHash", {4: given})
    attempt(game, "revealTrace", solver, "DoesNotHash", {3: NOTHING})  # the salt
    attempt(game, "revealTrace", solver, "PathLength", {5: []})
    other = cheating.journal.path(2)
    attempt(game, "revealTrace", solver, "DoesNotHash", {5: other})  # another step's
    attempt(game, "revealTrace", solver, "WrongCount", {6: []}, given=0, expected=4)
    attempt(game, "revealTrace", solver, "DoesNotHash", {6: [NOTHING] * 4})
    receipt = game.solver_move()
    (event,) = receipt.decode_logs(court.TraceRevealed)
    assert (event.step, event.trace) == (13, cheating.trace_tree(13).root)
    assert event.reports == reports
    d = game.d
    assert (d.phase, d.solverToMove) == (fx.TRACE, False)
    assert (d.level, d.index, d.size) == (4, 0, 14)
    (shown,) = receipt.decode_logs(court.ChildrenRevealed)
    assert (shown.phase, shown.level, shown.index) == (fx.TRACE, 4, 0)


@pytest.mark.parametrize("phase", [fx.TRACE, fx.ELEMENTS])
def test_children_fold_to_the_root_under_attack(game, solver, phase):
    game.play(until=phase, solver_to_move=True)
    _, (children,) = game.solver_answer()
    assert len(children) == 4
    for given in ([], children[:3], [*children, children[0]]):
        attempt(
            game,
            "revealChildren",
            solver,
            "WrongCount",
            {0: given},
            given=len(given),
            expected=4,
        )
    attempt(game, "revealChildren", solver, "DoesNotHash", {0: children[::-1]})
    game.solver_move()
    assert not game.d.solverToMove


def test_a_tensor_opens_as_what_was_committed(game, solver, cheating, court):
    d = game.play(until=fx.TENSOR)
    tensor = cheating.traces[13][5]
    assert d.item == 5
    attempt(game, "revealTensor", solver, "DoesNotHash", {0: 2})
    attempt(game, "revealTensor", solver, "DoesNotHash", {1: tensor.count + 1})
    attempt(game, "revealTensor", solver, "DoesNotHash", {2: NOTHING})
    attempt(game, "revealTensor", solver, "WrongCount", {3: []}, given=0, expected=4)
    attempt(game, "revealTensor", solver, "DoesNotHash", {3: [NOTHING] * 4})
    game.solver_move()
    d = game.d
    assert (d.phase, d.solverToMove, d.dtype, d.count) == (fx.ELEMENTS, False, 1, fx.WEIGHTS)
    assert (d.disputed, d.level, d.size) == (tensor.elements, 4, 16)


@pytest.mark.parametrize("dtype, count", [(0, 4), (5, 4), (255, 1), (1, 0), (1, 2**40 + 1)])
def test_a_tensor_that_no_program_has_leaves_its_solver_stuck(
    court, client, honest, solver, challenger, outsider, chain, dtype, count
):
    cheat = honest.copy(lastState=NOTHING)
    cheat.traces[16][1] = fx.committed(1, 4, bytes(16))
    object.__setattr__(cheat.traces[16][1], "dtype", dtype)
    object.__setattr__(cheat.traces[16][1], "count", count)
    cheat.states[fx.LAST] = cheat.states[fx.LAST - 1]
    game = Game(court, client, cheat, honest, solver, challenger)
    game.play(until=fx.TENSOR)
    attempt(game, "revealTensor", solver, "NotTheShape", dtype=dtype, count=count)
    chain.mine(deltatime=CLOCK + 1)
    court.callTime(game.id, sender=outsider)
    assert client.verdicts()[-1] == (game.id, True)


def test_a_leaf_is_shown_whole(game, solver, court):
    game.play(until=fx.LEAF)
    _, (data,) = game.solver_answer()
    for given in (b"", data[:-1], data + b"\x00"):
        attempt(
            game,
            "revealLeaf",
            solver,
            "WrongCount",
            {0: given},
            given=len(given),
            expected=LEAF_BYTES,
        )
    attempt(game, "revealLeaf", solver, "DoesNotHash", {0: bytes(LEAF_BYTES)})
    receipt = game.solver_move()
    (event,) = receipt.decode_logs(court.LeafRevealed)
    assert (event.index, event.data) == (8, data)
    d = game.d
    assert (d.phase, d.solverToMove) == (fx.PROOF, False)


# --- the challenger's moves ---


def test_steps_narrow_by_what_was_revealed(game, challenger, court, cheating):
    game.solver_move()
    roots = game.roots(game.d)
    attempt(game, "descendSteps", challenger, "DoesNotHash", {0: roots[::-1]})
    attempt(game, "descendSteps", challenger, "DoesNotHash", {0: []})
    for part in (4, 2**255):
        attempt(game, "descendSteps", challenger, "NoSuchPart", {1: part}, part=part, parts=4)
    receipt = game.challenger_move()
    (event,) = receipt.decode_logs(court.StepsNarrowed)
    assert (event.lo, event.hi) == (13, 15)
    d = game.d
    assert d.loState == cheating.state_tree(13).root
    assert d.disputed == cheating.state_tree(15).root
    game.play(until=fx.STEP)
    d = game.d
    assert (d.lo, d.hi) == (13, 14)
    assert d.disputed == cheating.state_tree(14).root


@pytest.mark.parametrize("part, interval", enumerate([(10, 11), (11, 13), (13, 15), (15, 17)]))
def test_each_part_of_an_interval_has_the_states_at_its_ends(
    game, challenger, court, cheating, part, interval
):
    game.solver_move()
    court.descendSteps(game.id, game.roots(game.d), part, sender=challenger)
    d = game.d
    assert (d.lo, d.hi) == interval
    ends = (cheating.state_tree(d.lo).root, cheating.state_tree(d.hi).root)
    # the two at the claim's ends are the claim's
    assert d.loState == (ends[0] if part else NOTHING)
    assert d.disputed == (ends[1] if part < 3 else NOTHING)
    assert d.phase == (fx.STEP if part == 0 else fx.STEPS)


@pytest.mark.parametrize("last", [False, True])
def test_the_state_after_a_step_is_the_one_revealed_or_the_claims(game, solver, challenger, last):
    """Protects challengers: a solver that reveals zeros has not revealed the claim's last state."""
    zeros = [NOTHING] * 3
    game.send("revealRoots", zeros, sender=solver)
    game.send("descendSteps", zeros, 3 if last else 1, sender=challenger)
    game.send("revealRoots", [NOTHING], sender=solver)
    game.send("descendSteps", [NOTHING], 1, sender=challenger)
    game.solver_move()
    d = game.d
    assert (d.phase, d.lo, d.hi) == (fx.TRACE, *((16, 17) if last else (12, 13)))
    assert d.disputed == (game.claim["lastState"] if last else NOTHING)
    assert d.loState == NOTHING


def test_each_move_that_needs_the_claim_takes_no_other(game, solver, challenger):
    """Protects both: a program, a journal or a state of another claim is none of this dispute."""
    other = {**game.claim, "journal": b"\x01" * 32}
    game.play(until=fx.STEP)
    attempt(game, "revealTrace", solver, "WrongClaim", {0: other})
    game.play(until=fx.TRACE, solver_to_move=False)
    header = game.theirs.header.to_abi()
    refuses(game, "accuseReports", other, header, error="WrongClaim", sender=challenger)
    game.play(until=fx.PROOF)
    proof = game.shape_proof()[1][1:]
    refuses(game, "proveShape", other, *proof, error="WrongClaim", sender=challenger)


@pytest.mark.parametrize("phase", [fx.TRACE, fx.ELEMENTS])
def test_a_child_is_proven_to_be_where_it_is(game, challenger, phase):
    game.play(until=phase, solver_to_move=False)
    _, (child, root, path) = game.challenger_answer()
    for given in (4, 2**255):
        attempt(game, "descend", challenger, "NoSuchPart", {0: given}, part=given, parts=4)
    attempt(game, "descend", challenger, "DoesNotHash", {0: child ^ 1})
    attempt(game, "descend", challenger, "DoesNotHash", {0: child ^ 2})
    attempt(game, "descend", challenger, "DoesNotHash", {1: NOTHING})
    attempt(game, "descend", challenger, "DoesNotHash", {2: path[::-1]})
    attempt(game, "descend", challenger, "PathLength", {2: path[:1]})
    attempt(game, "descend", challenger, "PathLength", {2: [*path, NOTHING]})
    before = game.d
    game.challenger_move()
    after = game.d
    assert (after.level, after.index) == (before.level - 2, (before.index << 2) + child)
    assert (after.disputed, after.solverToMove) == (root, True)


def test_the_last_children_of_an_uneven_tree_are_fewer(game, solver, challenger):
    """Fourteen nodes: of the four subtrees at level 2 the last one has two leaves."""
    game.play(until=fx.TRACE, solver_to_move=False)
    tree = game.theirs.trace_tree(13)
    game.send(*flat(game.descend_to(game.d, tree, 3)), sender=challenger)
    attempt(game, "revealChildren", solver, "WrongCount", {0: [NOTHING] * 4}, given=4, expected=2)
    game.solver_move()
    name, (_, root, path) = game.descend_to(game.d, tree, 1)
    refuses(game, name, 2, root, path, error="NoSuchPart", sender=challenger, part=2, parts=2)
    game.send(name, 1, root, path, sender=challenger)
    assert (game.d.phase, game.d.item) == (fx.TENSOR, 13)


def flat(answer):
    name, arguments = answer
    return (name, *arguments)


def test_outputs_can_be_accused_before_any_descent_only(game, challenger, court, cheating):
    game.play(until=fx.TRACE, solver_to_move=False)
    game.challenger_move()
    game.solver_move()
    refuses(game, "accuseState", error="AlreadyDescended", sender=challenger)
    header = cheating.header.to_abi()
    refuses(game, "accuseReports", game.claim, header, error="AlreadyDescended", sender=challenger)


def test_accused_reports_are_descended_like_a_trace(game, court, solver, challenger, cheating):
    game.play(until=fx.TRACE, solver_to_move=False)
    header = cheating.header.to_abi()
    other = (*header[:4], header[4] + 1)
    refuses(game, "accuseReports", game.claim, other, error="WrongProgram", sender=challenger)
    receipt = game.send("accuseReports", game.claim, header, sender=challenger)
    assert [e.dispute for e in receipt.decode_logs(court.ReportsAccused)] == [game.id]
    d, reports = game.d, list_tree(cheating.reports[13])
    assert (d.phase, d.solverToMove, d.accused) == (fx.REPORTS, True, fx.REPORTS)
    assert (d.disputed, d.level, d.size) == (reports.root, 1, 2)
    attempt(game, "revealChildren", solver, "DoesNotHash", {0: [NOTHING] * 2})
    game.solver_move()
    game.send(*flat(game.descend_to(game.d, reports, 1)), sender=challenger)
    d = game.d
    assert (d.phase, d.solverToMove, d.item) == (fx.PROOF, False, 1)
    for name, given in (
        ("provePadding", (bytes(LEAF_BYTES), 0)),
        ("proveShape", game.shape_proof()[1]),
    ):
        refuses(game, name, *given, error="WrongPhase", sender=challenger, phase=fx.PROOF)


@pytest.fixture
def play_reporting(court, client, honest, solver, challenger):
    """A dispute in step 13 of a program of which so many of the outputs are reports, where a step's
    journal holds `listed` of them."""

    def play(reports, listed):
        names = ("w", "b", "n", "x", "y")[: len(honest.program.outputs) - reports]
        told = honest.copy()
        told.program = Program(honest.program.nodes, honest.program.outputs, names)
        told.reports = {s: items[2 - listed :] for s, items in honest.reports.items()}
        game = Game(court, client, told, told, solver, challenger, wrong_step=13)
        while game.d.phase != fx.STEP:
            game.solver_move()
            ends = fx.points(game.d.lo, game.d.hi, ARITY_BITS)[1:]
            part = next(i for i, p in enumerate(ends) if p > 13)
            game.send("descendSteps", game.roots(game.d), part, sender=challenger)
        return game

    return play


def test_a_program_without_reports_has_none_in_its_journal(play_reporting, solver):
    """Protects challengers: a root of reports beside a program that has none cannot be accused, so
    it is not taken; that of a single report is."""
    attempt(play_reporting(0, listed=1), "revealTrace", solver, "DoesNotHash", expected=NOTHING)
    game = play_reporting(1, listed=1)
    game.solver_move()
    assert game.d.phase == fx.TRACE


def test_where_nothing_is_reported_there_is_nothing_to_accuse(play_reporting, solver, challenger):
    """Protects solvers of programs without reports from a list that no tree has."""
    game = play_reporting(0, listed=0)
    attempt(game, "revealTrace", solver, "DoesNotHash", {4: b"\x01" * 32})
    game.solver_move()
    header = game.theirs.header.to_abi()
    fields = {"part": 0, "parts": 0}
    refuses(
        game, "accuseReports", game.claim, header, error="NoSuchPart", sender=challenger, **fields
    )


def test_a_list_of_one_is_accused_at_its_only_place(play_reporting, solver, challenger):
    """Protects challengers of programs with a single report: there is nothing to descend, and the
    place to prove is number 0."""
    game = play_reporting(1, listed=1)
    game.solver_move()
    game.send("accuseReports", game.claim, game.theirs.header.to_abi(), sender=challenger)
    d = game.d
    assert (d.phase, d.solverToMove, d.item) == (fx.PROOF, False, 0)
    (item,) = game.theirs.reports[13]
    name, arguments = game.output_proof(d)
    refuses(game, name, *arguments, error="CommitmentFollows", sender=challenger, item=item)


def test_an_accused_state_is_descended_like_a_trace(game, court, solver, challenger, cheating):
    game.play(until=fx.TRACE, solver_to_move=False)
    receipt = game.send("accuseState", sender=challenger)
    assert [e.dispute for e in receipt.decode_logs(court.StateAccused)] == [game.id]
    d = game.d
    assert (d.phase, d.solverToMove, d.accused) == (fx.STATE, True, fx.STATE)
    assert (d.disputed, d.level, d.size) == (cheating.state_tree(14).root, 2, 3)
    attempt(game, "revealChildren", solver, "DoesNotHash", {0: [NOTHING] * 3})
    game.solver_move()
    game.send(*flat(game.descend_to(game.d, cheating.state_tree(14), 2)), sender=challenger)
    d = game.d
    assert (d.phase, d.solverToMove, d.item) == (fx.PROOF, False, 2)
    # What is proven of the trace's tensors is not proven of the state's.
    for name, given in (
        ("provePadding", (bytes(LEAF_BYTES), 0)),
        ("proveShape", game.shape_proof()[1]),
    ):
        refuses(game, name, *given, error="WrongPhase", sender=challenger, phase=fx.PROOF)


# --- parameters ---


@pytest.mark.parametrize("arity_bits", [0, 9])
def test_a_court_without_fan_out_is_not_deployed(project, deployer, arity_bits):
    nobody = ["0x" + "00" * 20] * len(fx.CHECKERS)
    with ape.reverts(project.Court.BadParameters):
        deployer.deploy(project.Court, arity_bits, nobody)


def test_a_court_has_a_fan_out_of_256_at_most(project, deployer):
    nobody = ["0x" + "00" * 20] * len(fx.CHECKERS)
    assert deployer.deploy(project.Court, 8, nobody).arityBits() == 8


def test_the_court_says_what_it_was_made_with(court):
    assert court.arityBits() == ARITY_BITS
    assert len({court.checker(kind) for kind in range(6)}) == 6
    with ape.reverts(court.UnknownKind, kind=6):
        court.checker(6)


def test_every_contract_fits_the_size_limit(project):
    for name in ("Court", "Disputes", *fx.CHECKERS):
        code = getattr(project, name).contract_type.get_runtime_bytecode()
        assert 0 < len(code) < 24_576, name
