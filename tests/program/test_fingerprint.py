"""The fingerprint: what it sees, what it is made of, and who may leave it out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.exact import reference
from worker.program import (
    Kind,
    MalformedProgram,
    Map,
    Program,
    Source,
    capture_inference,
    capture_training,
    check_fingerprint,
    fingerprinted,
    inference_state,
    training_state,
)
from worker.program.builder import Builder
from worker.program.codes import F32, I32, I64
from worker.program.cost import BYTE_WORK, node_bytes, node_flops
from worker.program.fingerprint import FREE, K_EXPONENT, K_HALF, K_PLACE, MIXING, picked
from worker.program.needed import cone

COUNT = 1000


def copied(dtype: int, count: int = COUNT) -> Program:
    """A step that copies its state, whose one tensor is what the fingerprint sees."""
    builder = Builder()
    state = builder.state(0, dtype, (count,))
    copy = builder.map(Map.COPY, state)
    return fingerprinted(Program(tuple(builder.nodes), (copy.node,), ("x",)))


def mark(program: Program, x: Tensor) -> Tensor:
    """The fingerprint of a copied tensor."""
    return program.run([x], [])[1][0]


def signed(x: int) -> int:
    return (x & 0xFFFFFFFF) - (x >> 31 & 1) * (1 << 32)


def as_f32(x: int) -> int:
    return int(torch.tensor(x, dtype=torch.int32).float())


def by_hand(x: Tensor) -> float:
    """The documented formula in Python's integers, of at most a row; the sum rounded once."""
    total = 0
    for place, bits in enumerate(x.view(torch.int32).tolist()):
        bits &= 0xFFFFFFFF
        e = reference.exponent([bits])
        x0 = reference.quantise(bits, e, 31) + e * K_EXPONENT + place * K_PLACE
        mixed = signed(x0 * (2 * x0 + 1))
        # an i32 becomes an f32 before it is halved, or summed: 24 of its bits are left
        mixed += int(as_f32(mixed) / 2**16) * K_HALF
        total += as_f32(signed(mixed * (2 * mixed + 1)))
    return float(torch.tensor(total, dtype=torch.float64).float())


@pytest.fixture(scope="module")
def floats() -> Program:
    program = copied(F32)
    program.compile()
    return program


def test_it_is_the_documented_number(floats):
    """Protects everybody who writes another implementation, and the two that there are from one
    another: interpreter and native code have the bits of the formula."""
    torch.manual_seed(0)
    x = torch.randn(COUNT) * torch.exp2(torch.randint(-60, 60, (COUNT,)).float())
    expected = by_hand(x)
    assert float(mark(floats, x)) == expected
    assert float(floats.interpret([x], [])[1][0]) == expected


def test_a_change_of_any_bit_changes_it(floats):
    """Protects from work that is nearly right: each of 24 bits of 200 elements, turned alone."""
    torch.manual_seed(1)
    x = torch.randn(COUNT)
    before, unseen = mark(floats, x), 0
    for place in torch.randperm(COUNT)[:200].tolist():
        for bit in range(32):
            other = x.clone()
            other.view(torch.int32)[place] ^= 1 << bit if bit < 31 else -(1 << 31)
            if other[place].isfinite():
                unseen += torch.equal(mark(floats, other), before)
    assert unseen == 0


def test_places_enter(floats):
    """Protects from a permutation of what is right, and from a part of it moved on by one."""
    torch.manual_seed(2)
    x = torch.randn(COUNT)
    marks = {float(mark(floats, x.roll(k))) for k in range(50)}
    swapped = x.clone()
    swapped[[3, 700]] = x[[700, 3]]
    assert len(marks | {float(mark(floats, swapped))}) == 51


def test_a_sum_does_not_give_it_away(floats):
    """Protects from who knows the plain sum of a product, which is cheap: of 500 tensors with one
    sum no two have one fingerprint, and one more on an element moves it anywhere."""
    torch.manual_seed(3)
    x = torch.randint(-1000, 1000, (COUNT,)).float()
    marks = []
    for k in range(500):
        other = x.clone()
        other[k] += 1
        other[-1 - k] -= 1
        marks.append(float(mark(floats, other)) - float(mark(floats, x)))
    assert len(set(marks)) == 500
    assert min(marks) < -(2**31) and max(marks) > 2**31
    assert abs(sum(m > 0 for m in marks) - 250) < 60


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_nan_is_seen_and_an_infinity_is_none(floats, value):
    """Protects from a state whose numbers are gone, which anyone can name; masks make infinities
    that are meant."""
    x = torch.randn(COUNT)
    x[17] = value
    assert mark(floats, x).isnan().item() == (value != value)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_integers_enter_as_they_are(dtype):
    """Protects steps that end in tokens: the next number is another fingerprint."""
    program = copied({torch.int32: I32, torch.int64: I64}[dtype])
    x = torch.arange(COUNT, dtype=dtype)
    other = x.clone()
    other[5] += 1
    assert not torch.equal(mark(program, x), mark(program, other))


def test_long_tensors_enter_whole():
    """Protects what lies behind the first row that a proof can read."""
    program = copied(F32, 10_000)
    x = torch.randn(10_000)
    for place in (0, 4095, 4096, 9_999):
        other = x.clone()
        other[place] += 1
        assert not torch.equal(mark(program, x), mark(program, other))


# --- which tensors -----------------------------------------------------------------------------


def perceptron(width: int = 64) -> tuple[Program, list[Tensor], list[Tensor]]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    batch = [torch.randn(16, 32), torch.randint(10, (16,))]
    program = capture_training(module, F.cross_entropy, optimizer, batch)
    return program, training_state(module, optimizer), batch


def work_behind(program: Program) -> float:
    """The part of a step's work that the picks need."""
    work = [
        0 if n.kind == Kind.SOURCE else node_flops(n) + BYTE_WORK * node_bytes(n)
        for n in program.nodes
    ]
    picks = picked(program.nodes, program.outputs, program.state_count)
    behind = cone(picks, [[i.node for i in n.inputs] for n in program.nodes])
    return sum(work[n] for n in behind) / sum(work)


def conv() -> Program:
    module = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 49, 10)),
    )
    batch = [torch.randn(8, 3, 16, 16), torch.randint(10, (8,))]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    return capture_training(module, F.cross_entropy, optimizer, batch)


def embedding() -> Program:
    """Of which every update but the last layer's is larger than what may be mixed."""
    module = nn.Sequential(nn.Embedding(500, 64), nn.Linear(64, 500))
    batch = [torch.randint(500, (4, 8)), torch.randint(500, (4, 8))]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    return capture_training(
        module, lambda o, t: F.cross_entropy(o.transpose(1, 2), t), optimizer, batch
    )


@pytest.mark.parametrize("made, least", [(lambda: perceptron()[0], 0.5), (conv, 0.6)])
def test_most_of_a_training_lies_behind_it(made, least):
    """Protects verification from who leaves out the way back: the loss alone has a third of the
    step's work behind it."""
    program = made()
    assert work_behind(program) > least
    loss = cone(
        program.outputs[program.state_count :],
        [[i.node for i in n.inputs] for n in program.nodes],
    )
    picks = picked(program.nodes, program.outputs, program.state_count)
    assert not set(picks) <= set(loss)


@pytest.mark.parametrize("made", [lambda: perceptron(256)[0], conv, embedding])
def test_it_costs_a_hundredth_or_a_thousand_elements(made):
    """Protects requesters, who pay by the work: whatever the layers' sizes are."""
    program = made()
    before, after = program.summary().work_units, fingerprinted(program).summary().work_units
    assert after - before <= before // 100 + FREE * MIXING
    assert len(fingerprinted(program).nodes) <= len(program.nodes) + 120


def test_a_forward_pass_alone_has_its_last_products_mixed():
    """Protects inference whose answer is a label: the numbers that it was the greatest of enter."""

    class Label(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(32, 16)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).argmax(1)

    torch.manual_seed(0)
    module, x = Label(), torch.randn(8, 32)
    program = fingerprinted(capture_inference(module, [x]))
    state = inference_state(module)
    near = x.clone()
    near[0, 0] += 1e-3
    _, (labels, one) = program.run(state, [x])
    _, (same, other) = program.run(state, [near])
    assert torch.equal(labels, same) and not torch.equal(one, other)


def test_training_ends_in_what_the_last_update_made():
    """Protects from a guess by the loss, which says nothing of the update: another rate, the same
    loss, another fingerprint."""
    torch.manual_seed(0)
    module = nn.Linear(32, 64)
    batch = [torch.randn(16, 32), torch.randint(64, (16,))]
    found = []
    for rate in (0.1, 0.1000001):
        optimizer = torch.optim.SGD(module.parameters(), lr=rate)
        program = fingerprinted(capture_training(module, F.cross_entropy, optimizer, batch))
        found.append(program.run(training_state(module, optimizer), batch)[1])
    (loss, mark), (same, other) = found
    assert torch.equal(loss, same) and not torch.equal(mark, other)


def test_the_step_is_what_it_was_and_native_code_agrees():
    """Protects the step itself: states and reports are those of the program without it."""
    program, state, batch = perceptron()
    made = fingerprinted(program)
    after, reports = program.run(state, batch)
    made.compile()
    with_it = made.run(state, batch)
    interpreted = made.interpret(state, batch)
    for ours, theirs in zip([*after, *reports], [*with_it[0], *with_it[1][:-1]], strict=True):
        assert torch.equal(ours.view(torch.int32), theirs.view(torch.int32))
    assert torch.equal(with_it[1][-1], interpreted[1][-1]) and interpreted[1][-1].shape == ()


# --- who may leave it out ----------------------------------------------------------------------


def with_another_place(program: Program) -> Program:
    """Places count for one, and so a permutation is nearly as good."""
    nodes = list(program.nodes)
    for n, node in enumerate(nodes):
        if (node.kind, node.fn) == (Kind.SOURCE, Source.CONSTANT) and node.attributes == (K_PLACE,):
            nodes[n] = replace(node, attributes=(1,))
    assert tuple(nodes) != program.nodes
    return Program(tuple(nodes), program.outputs, program.state_names)


def test_a_program_without_it_or_with_another_is_refused():
    """Protects verification from a requester who posts what can be guessed: only the fingerprint
    that follows from the rest is taken, also after a way through the store."""
    program, _, _ = perceptron()
    made = fingerprinted(program)
    check_fingerprint(made)
    check_fingerprint(Program.from_bytes(made.to_bytes()))
    *others, last = made.outputs
    for other in (
        program,
        replace(made, outputs=(*others[:-1], last, others[-1])),  # it is not the last
        replace(made, outputs=(*made.outputs, last)),  # twice
        with_another_place(made),
    ):
        with pytest.raises(MalformedProgram, match="last report is not the fingerprint"):
            check_fingerprint(other)


def test_a_step_that_ends_in_nothing_is_refused():
    builder = Builder()
    state = builder.state(0, F32, (4,))
    nothing = Program(tuple(builder.nodes), (state.node,), ("x",))
    with pytest.raises(MalformedProgram, match="reports nothing and changes no state"):
        fingerprinted(nothing)
