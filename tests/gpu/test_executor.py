"""Whole steps in kernels: the interpreter's bits, for everything that programs can hold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")

from tests.program import cases, test_compiled, test_execute, test_families
from tests.program.helpers import program_of, same, sources
from tests.program.models import TRAININGS, attention, seeded
from worker.program import Program, capture_training, training_state
from worker.program.builder import Builder
from worker.program.codes import Map
from worker.program.execute import Moment
from worker.program.gpu import plan
from worker.program.gpu.executor import GpuExecutor

EVERY = 1 if torch.cuda.is_available() else 9
"""Interpreted kernels are slow: there every ninth case of an operator, beginning anywhere."""
QUICK = ("residual", "autoencoder", "ignored labels", "adamw")


def ran(program, state, batch, moment: Moment, device: torch.device) -> None:
    """Twice, the second time with what the first left in memory; and the operands as they were."""
    executor = GpuExecutor(program.nodes, program.outputs, device)
    after, reports = program.interpret(state, batch, seed=moment.seed, step=moment.step)
    there = [[t.to(device) for t in tensors] for tensors in (state, batch)]
    first = executor.run(*there, moment)
    second = executor.run(*there, moment)
    for found in (first, second):
        assert same([t.cpu() for t in found], [*after, *reports])
    assert same([t.cpu() for t in there[0]], state)


def test_every_function_on_special_values_through_maps_that_lead_out_of_bounds(device):
    """Protects solvers: fills, negative strides, subnormals, infinities and NaNs."""
    program, state = test_execute.everything()
    ran(program, state, [], Moment(2**63 + 5, 2), device)


def test_every_operator_gives_the_interpreters_bits(device):
    """Protects solvers: whatever PyTorch operator a step holds."""
    for name, program, state in cases.programs(EVERY):
        try:
            ran(program, state, [], Moment(7, 3), device)
        except AssertionError as error:
            raise AssertionError(name) from error


@pytest.mark.parametrize("name", test_families.FAMILIES)
@pytest.mark.parametrize("bits", [14, 20])
def test_every_family_steps_to_the_same_bits(name, bits, device):
    """Protects whole trainings of every family, in their first and second step."""
    if device.type == "cpu" and (name not in QUICK or bits != 14):
        pytest.skip("minutes under the interpreter; a GPU runs it")
    course = test_families.train(test_families.FAMILIES[name], steps=1, bits=bits)
    for state in (course.first, course.last):
        ran(course.program, state, course.batch, Moment(5, 1), device)


def test_steps_that_overflow_stay_equal(device):
    """Protects diverging trainings: rows that are not finite take the same way."""
    program, state, batch = seeded(3, attention)
    for factor in (1e30, 1e-30):
        grown = [t * factor if t.is_floating_point() else t for t in state]
        ran(program, grown, batch, Moment(1, 1), device)
    spoilt = [t.clone() for t in state]
    spoilt[0].view(-1)[3], spoilt[1].view(-1)[0] = float("nan"), float("inf")
    ran(program, spoilt, batch, Moment(1, 1), device)


def test_blocks_and_remainders_meet_exactly(device):
    """Protects large tensors: rows along memory and across it, one long loop, a transposed copy."""
    state = [torch.randn(133, 77), torch.randn(133, 77)]
    ran(program_of(test_compiled.big, state), state, [], Moment(), device)


def test_random_numbers_follow_the_moment(device):
    """Protects dropout: a graph that is replayed reads each step's number anew."""
    program = program_of(lambda b, v: [b.random((3, 7)), b.random((4000,))], [torch.zeros(1)])
    executor = GpuExecutor(program.nodes, program.outputs, device)
    state = [torch.zeros(1, device=device)]
    for moment in (Moment(0, 0), Moment(2**64 - 1, 2**32 - 1), Moment(3, 4), Moment(3, 5)):
        after, reports = program.interpret([torch.zeros(1)], [], seed=moment.seed, step=moment.step)
        found = executor.run(state, [], moment)
        assert same([t.cpu() for t in found], [*after, *reports])


def test_a_state_that_changes_in_place_is_read_again(device):
    """Protects what is handed through from being taken for what it was."""
    program, state, batch = TRAININGS[0]()
    executor = GpuExecutor(program.nodes, program.outputs, device)
    there = [t.to(device) for t in state]
    for _ in range(3):
        expected = program.interpret([t.cpu() for t in there], batch)
        found = executor.run(there, [t.to(device) for t in batch], Moment())
        assert same([t.cpu() for t in found], [*expected[0], *expected[1]])
        for tensor in there:
            if tensor.is_floating_point():
                tensor.mul_(0.5)


def test_a_training_goes_on_from_any_of_its_states(device):
    """Protects a solver's checkpoints: next states are written over states in the executor's own
    memory, and never where a result that was handed out stands."""
    program, state, batch = TRAININGS[0]()
    executor = GpuExecutor(program.nodes, program.outputs, device)
    assert executor.renews > 0
    states = [state]
    for _ in range(3):
        states.append(program.interpret(states[-1], batch)[0])
    there = [t.to(device) for t in batch]
    found = [[t.to(device) for t in state]]
    for _ in range(3):
        found.append(executor.run(found[-1], there, Moment())[: len(state)])
        seen = [t.view(-1) for t in found[-1]]
    for at in (2, 0, 1, 1):  # back, and again
        again = executor.run(found[at], there, Moment())[: len(state)]
        assert same([t.cpu() for t in again], states[at + 1])
    for a, b in zip(found, states, strict=True):
        assert same([t.cpu() for t in a], b)
    assert same([t.cpu() for t in seen], [t.flatten() for t in states[3]])  # views stay as well
    given = [t.clone() for t in found[1]]
    for at in (1, 2):  # as a worker goes on, who has no use for the states between
        given = executor.run(given, there, Moment(), donate=True)[: len(state)]
        assert same([t.cpu() for t in given], states[at + 1])
    for a, b in zip(found, states, strict=True):
        assert same([t.cpu() for t in a], b)
    held = executor.run(found[1], there, Moment(), donate=True)[: len(state)]
    executor.run(found[0], there, Moment(), donate=True)  # another's, while this one is held
    assert same([t.cpu() for t in held], states[2])
    given = executor.run(found[1], there, Moment(), donate=True)[: len(state)]
    turned = list(range(len(state)))
    turned[0], turned[4] = 4, 0  # two of one shape: a weight, and its momentum
    mixed = [given[i] for i in turned]
    expected = program.interpret([t.cpu() for t in mixed], batch)[0]
    found_mixed = executor.run(mixed, there, Moment(), donate=True)[: len(state)]
    assert same([t.cpu() for t in found_mixed], expected)
    changed = executor.run(found[1], there, Moment())[: len(state)]
    changed[0].mul_(0.5)  # in place, where the executor could take it for what it has
    expected = program.interpret([t.cpu() for t in changed], batch)[0]
    assert same([t.cpu() for t in executor.run(changed, there, Moment())[: len(state)]], expected)


def test_operands_of_another_kind_are_refused(device):
    """Protects memory: a kernel never reads a tensor that is not what the program takes."""
    program, state, batch = TRAININGS[0]()
    executor = GpuExecutor(program.nodes, program.outputs, device)
    state, batch = ([t.to(device) for t in tensors] for tensors in (state, batch))
    with pytest.raises(ValueError, match=r"STATE 0 is .* the program takes"):
        executor.run([state[0].double(), *state[1:]], batch, Moment())
    with pytest.raises(ValueError, match=r"STATE 0 is .* the program takes"):
        executor.run([state[0].flatten()[:-1], *state[1:]], batch, Moment())


def donating():
    """A training whose first layer is frozen, its state after each of three steps, its batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batch = [torch.randn(5, 6), torch.randint(0, 3, (5,))]
    program = capture_training(model, nn.CrossEntropyLoss(), optimizer, batch)
    states = [training_state(model, optimizer)]
    for _ in range(3):
        states.append(program.interpret(states[-1], batch)[0])
    return program, states, batch


def test_a_first_state_that_is_donated_is_where_the_next_ones_stand(device):
    """Protects a worker's memory: what a training starts from is not held a second time."""
    program, states, batch = donating()
    executor = GpuExecutor(program.nodes, program.outputs, device)
    there = [t.to(device) for t in batch]
    current = [t.to(device, copy=True) for t in states[0]]
    where = [t.data_ptr() for t in current]
    for expected in states[1:]:
        current = executor.run(current, there, Moment(), donate=True)[: len(current)]
        assert same([t.cpu() for t in current], expected)
        assert [t.data_ptr() for t in current] == where


def test_what_is_handed_through_stays_while_it_is_held(device):
    """Protects frozen weights that were donated from those of another training after it."""
    program, states, batch = donating()
    executor = GpuExecutor(program.nodes, program.outputs, device)
    there = [t.to(device) for t in batch]
    given = [t.to(device, copy=True) for t in states[0]]
    held = executor.run(given, there, Moment(), donate=True)[: len(given)]
    others = [t * 2 if t.is_floating_point() else t for t in states[0]]
    expected = program.interpret(others, batch)[0]
    found = executor.run([t.to(device, copy=True) for t in others], there, Moment(), donate=True)
    assert same([t.cpu() for t in found[: len(given)]], expected)
    assert same([t.cpu() for t in held], states[1])
    again = executor.run(held, there, Moment())[: len(given)]
    assert same([t.cpu() for t in again], states[2])
    assert same([t.cpu() for t in held], states[1])


def test_frozen_weights_that_change_places_keep_their_values(device):
    """Protects what is handed through: two of one shape, each donated where the other stood."""
    program = program_of(lambda b, v: [b.map(Map.ADD, *v)], [torch.randn(7)] * 2)
    executor = GpuExecutor(program.nodes, program.outputs, device)
    a, b = torch.randn(7), torch.randn(7)
    first = [t.to(device, copy=True) for t in (a, b)]
    x, y = executor.run(first, [], Moment(), donate=True)[:2]
    for given, expected in (((x, y), (a, b)), ((y, x), (b, a)), ((x, y), (a, b))):
        found = executor.run(given, [], Moment(), donate=True)
        assert same([t.cpu() for t in found[:2]], expected)
        assert same([x.cpu(), y.cpu()], [a, b])


def test_memory_that_something_else_shares_is_not_written(device):
    """Protects what a donated tensor is only a part of, and two states in one memory."""
    program, states, batch = donating()
    there = [t.to(device) for t in batch]
    whole = [torch.stack([t, t]).to(device) for t in states[0]]
    executor = GpuExecutor(program.nodes, program.outputs, device)
    found = executor.run([t[0] for t in whole], there, Moment(), donate=True)
    assert same([t.cpu() for t in found[: len(whole)]], states[1])
    assert same([t[1].cpu() for t in whole], states[0])
    builder = Builder()
    v = sources(builder, [torch.randn(7)] * 2)
    outputs = (builder.map(Map.NEG, v[0]).node, builder.map(Map.EXP, v[1]).node)
    twice = Program(tuple(builder.nodes), outputs, ("a", "b"))
    one = torch.randn(7)
    executor = GpuExecutor(twice.nodes, twice.outputs, device)
    expected = twice.interpret([one, one], [])[0]
    there = one.to(device, copy=True)
    assert same(
        [t.cpu() for t in executor.run([there, there], [], Moment(), donate=True)], expected
    )


@pytest.mark.parametrize("bits", [8, 14, 20])
def test_operands_packed_in_pieces_give_the_same_bits(bits, device, monkeypatch):
    """Protects large convolutions: windows and plain rows, of one batch and of several, row by row
    and column by column, the last piece shorter than the others."""
    monkeypatch.setattr(plan, "LEAST_PIECE", 1)
    monkeypatch.setattr(plan, "PIECE_SHARE", 1 << 40)
    monkeypatch.setattr(plan, "TILE", 1)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 2, groups=2), nn.Flatten(),
        nn.Linear(528, 260, bias=False), nn.Unflatten(1, (2, 130)), nn.Linear(130, 3),
    )  # fmt: skip
    batch = [torch.randn(3, 2, 12, 13), torch.randn(3, 2, 3)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    program = capture_training(model, nn.MSELoss(), optimizer, batch, bits=bits)
    made = GpuExecutor(program.nodes, program.outputs, device)._plan
    firsts = {
        (isinstance(side[1], str), piece.first > 0)
        for key in made.sizes
        if isinstance(key, tuple) and key[0] == "packed"
        for _, side, piece in [key]
    }
    assert firsts == {(windows, later) for windows in (False, True) for later in (False, True)}
    ran(program, training_state(model, optimizer), batch, Moment(), device)
