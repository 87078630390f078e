"""At every limit of a well-formed program, each transaction of a dispute fits a chain's.

EIP-7825 lets a transaction use 2^24 gas. What a stranger may choose is bounded so that none needs
more than a sixth of it, paths as long as lists may be included; `docs/protocol.md` has the table.
`-s` prints what was used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from benchmarks.disputes import one_step
from tests.games.players import accused, settle_all, time_out, verdicts
from tests.games.world import PRICE, World
from tests.revm import RevmChain, Sent
from worker.chain.errors import ContractError
from worker.chain.types import Job, Phase, Status
from worker.commit import list_tree, tensor_item
from worker.program import Input, Kind, Map, Node, Program, Reduce, Source, fingerprinted
from worker.program.builder import Builder
from worker.program.codes import BOOL, F32, I64
from worker.program.views import View
from worker.program.wellformed import MAX_OUTPUTS, MAX_RANK, MAX_ROW, MAX_SCATTER, MOST_DOT_BITS
from worker.roles import Verifier, put_job
from worker.simulation import WrongReport

MOST_GAS = 1 << 24  # EIP-7825: of one transaction
PART = 6  # no move needs more than this part of it
LONGER = (
    21 * 32 * 3 * 40
)  # calldata of paths 21 nodes longer, for a place, its tensor and its leaves


def needed(sent: Sent) -> int:
    """What a chain takes for it: its gas, or what EIP-7623 takes for its calldata at the least."""
    return max(sent.gas, 21_000 + 40 * sent.calldata)


def fits(every: Sequence[Sent]) -> None:
    most: dict[str, int] = {}
    for sent in every:
        most[sent.label] = max(most.get(sent.label, 0), needed(sent))
    print({label: f"{gas:,}" for label, gas in most.items()})
    assert all(gas + LONGER <= MOST_GAS // PART for gas in most.values()), most


def choice(b: Builder, v: list[View]) -> View:
    """A node whose record is as long as records get: three operands of the highest rank."""
    shape = (3,) * MAX_RANK
    index_map = []
    for axis in range(MAX_RANK):
        index_map += [-1, *(int(o == axis) for o in range(MAX_RANK))]
    less = b.map(Map.LT, *v, dtype=BOOL)
    inputs = tuple(
        Input(x.node, x.dtype, (2,) * MAX_RANK, tuple(index_map), fill)
        for x, fill in ((less, 1), (v[0], 0xC0490FDB), (v[1], 0x40490FDB))
    )
    return b.add(Node(Kind.MAP, Map.WHERE, F32, shape, inputs))


def values(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def integers(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 9, shape, generator=generator)


# a row that begins and ends within a leaf
SPLIT = MAX_ROW - 1
LIMITS: dict[str, tuple[Callable[[Builder, list[View]], View], list[Tensor]]] = {
    "a choice of rank 8": (choice, [values(*(2,) * MAX_RANK), values(1, 2**MAX_RANK).view(-1)]),
    "a greatest of i64": (lambda b, v: b.reduce(Reduce.MAX, v[0], 1), [integers(3, SPLIT)]),
    "its place": (lambda b, v: b.reduce(Reduce.ARGMAX, v[0], 1), [integers(3, SPLIT)]),
    "a sum": (lambda b, v: b.sum(v[0], 1), [values(3, MAX_ROW)]),
    "a product": (
        lambda b, v: b.dot(v[0], v[1], MOST_DOT_BITS),
        [values(3, MAX_ROW), values(2, MAX_ROW)],
    ),
    "a scatter": (
        lambda b, v: b.scatter(v[0], v[1], 9),
        [values(MAX_SCATTER, 3), integers(MAX_SCATTER)],
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_proof_at_the_limit_fits_a_transaction(name):
    """Protects challengers: nothing in a program is too long to be proven."""
    make, state = LIMITS[name]
    b = Builder()
    codes = {torch.float32: F32, torch.int64: I64}
    views = [b.state(i, codes[t.dtype], tuple(t.shape)) for i, t in enumerate(state)]
    if name == "a choice of rank 8":
        views = [v.reshape((2**MAX_RANK,)) for v in views]
    made = b.plain(make(b, views))
    sources = [n for n, node in enumerate(b.nodes) if node.kind == Kind.SOURCE]
    states = sources[: len(state)]
    assert [b.nodes[n].attributes for n in states] == [(i,) for i in range(len(state))]
    program = Program(tuple(b.nodes), (*states, made.node), tuple("xy"[: len(state)]))
    node = next(n for n in reversed(range(len(program.nodes))) if _is_whole(program, n, name))
    element = program.nodes[node].count // 2
    place = (program, state, [torch.zeros(1)], node, element)
    chain = RevmChain()
    played = one_step(*place, bit=1, arity_bits=5, chain=chain, paid=False)  # type: ignore[arg-type]
    fits(played.sent)


def _is_whole(program: Program, n: int, name: str) -> bool:
    """Whether node n is the one that the limit is about."""
    node = program.nodes[n]
    wanted = {"a choice of rank 8": "MAP.WHERE", "a greatest of i64": "REDUCE.MAX"}
    wanted |= {"its place": "REDUCE.ARGMAX", "a sum": "REDUCE.SUM"}
    return node.name == wanted.get(name, {"a product": "DOT", "a scatter": "SCATTER"}.get(name))


def reporting() -> tuple[Program, list[Tensor], list[Tensor]]:
    """As many outputs as there may be: one node's, again and again, and the fingerprint."""
    nodes = (
        Node(Kind.SOURCE, Source.STATE, F32, (4,), (), (0,)),
        Node(Kind.MAP, Map.ADD, F32, (4,), (Input(0, F32, (4,), (0, 1)),) * 2),
    )
    program = fingerprinted(Program(nodes, (1,) * (MAX_OUTPUTS - 1), ("x",)))
    return program, [torch.ones(4)], [torch.zeros(3, 1)]


def posted(world: World) -> Job:
    program, state, data = reporting()
    root, data_root, state_root = put_job(world.store, program, data, state)
    return Job(root, state_root, data_root, len(data), 3, 7, 1, 1)


def test_a_step_of_as_many_reports_as_there_may_be_is_answered_for():
    """Protects solvers from a task with more reports than a transaction could open: whoever accuses
    a right one finds nothing to prove at the end, and pays for what the solver has opened."""
    world = World()
    job = posted(world)
    number, solver = world.commit(job, world.desks["solver"])
    desk, (program, state, _) = world.desks["outsider"], reporting()
    court = desk.court
    dispute = accused(desk, number, 0)
    world.play(solver)
    claim = court.claim(dispute)
    court.accuse_reports(dispute, claim, program.header)
    items = [tensor_item(t) for t in program.trace(state, [])]
    last, sum_item = MAX_OUTPUTS - 3, items[1]
    tree = list_tree([*[sum_item] * (program.report_count - 1), items[-1]])
    while (d := court.dispute(dispute)).phase == Phase.REPORTS:
        world.play(solver)
        below = max(0, d.level - court.arity_bits())
        index = last >> below
        child = index - (d.index << d.level - below)
        path = tree.path(index, below, d.level - below)
        court.descend(dispute, child, tree.node(below, index), path)
    assert (d.phase, d.item) == (Phase.PROOF, last)
    proof = (program.output_tree.path(last + 1), sum_item, list_tree(items).path(1))
    with pytest.raises(ContractError, match="CommitmentFollows"):
        court.prove_output(dispute, claim, program.header, 1, *proof)
    time_out(world)
    assert verdicts(world) == ["time"]
    assert settle_all(world)["solver"] > PRICE
    fits(world.chain.sent)


def test_a_wrong_one_among_as_many_is_found_and_proven():
    """Protects requesters: the one report that is wrong is descended to, whatever their number."""
    world = World()
    cheat = WrongReport.at(step=0, report=MAX_OUTPUTS - 2)
    number, solver = world.commit(posted(world), world.desk("solver", computation_of=cheat))
    world.play(Verifier(world.desks["verifier"]), solver)
    assert world.task(number).status == Status.CONDEMNED and verdicts(world) == ["report"]
    fits(world.chain.sent)


def test_a_program_has_no_more_outputs_than_that():
    """Protects the numbers above."""
    program, *_ = reporting()
    with pytest.raises(ValueError, match=f"{MAX_OUTPUTS + 1} outputs; a program has at most"):
        Program(program.nodes, (*program.outputs, 1), ("x",))
