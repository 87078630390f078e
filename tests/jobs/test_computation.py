"""A job's steps, states and journals."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from scripts.fetch import named_by_its_owner
from tests.jobs.helpers import computation, program, training
from worker.chain.types import Job
from worker.commit import (
    climb,
    list_leaf,
    list_root,
    report_item,
    report_salt,
    state_root,
    tensor_item,
)
from worker.jobs import Computation, Entry, JobMismatch, Journal, Replay, interior, rows_of_step
from worker.program import Kind, Node, Program, Source
from worker.program.codes import F32

OWNER = b"\x0a" * 20


def equal(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- steps and states ---


def test_a_step_sees_the_rows_that_the_seed_draws():
    """Protects batches: the same rows of every data tensor, by the job's seed and step."""
    c = computation()
    for step in (0, 2, 3, 99):
        rows = rows_of_step(11, 10, 4, step)
        assert equal(c.batch(step), [t[rows] for t in c.data])


def test_random_numbers_are_of_the_jobs_seed_and_the_steps_number():
    """Protects trainings with dropout: run, trace and replay draw the same numbers in a step, other
    ones in another step, and another job's are others."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(40, 3))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    data = [torch.ones(10, 40), torch.zeros(10, dtype=torch.int64)]  # every batch is the same
    found = []
    for seed in (11, 12):
        job = training(module=module, optimizer=optimizer, data=data, seed=seed)
        c = Computation(job.job(job.capture()), job.capture(), job.data)
        state = job.initial_state()
        for step in (0, 1):
            after, reports = c.advance(state, step)
            assert equal(c.advance(state, step)[0], after)
            traced = c.program.split(dict(c.walk(state, step)))
            assert equal(traced[0], after) and equal(traced[1], reports)
            found.append(after[0])
        replay = Replay(c, 0, state)
        assert equal(replay.state(2), c.advance(c.advance(state, 0)[0], 1)[0])
    assert not any(torch.equal(a, b) for k, a in enumerate(found) for b in found[:k])


def test_a_segment_is_its_steps_one_after_another():
    """Protects checkpoints: the state at a segment's end is that of single steps, and so are its
    reports; the last segment may be short."""
    c, told = computation(), []
    state = training().initial_state()
    for segment in range(3):
        result = c.run_segment(segment, state, told.append)
        for step, report in zip(c.job.segment_range(segment), result.reports, strict=True):
            state, expected = c.advance(state, step)
            assert equal(report, expected)
        assert equal(result.state, state)
    assert told == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]
    with pytest.raises(ValueError, match="segment=3 is not one of the job's 3"):
        c.run_segment(3, state)


@pytest.mark.parametrize("order", [(4, 5, 6, 7, 8), (8, 4, 6, 5, 7), (7, 5, 8, 8, 4), (6, 5, 7, 6)])
def test_a_replay_gives_the_same_states_in_any_order(order):
    """Protects disputes: what is asked first does not change what is found."""
    c = computation()
    first = c.run_segment(0, training().initial_state()).state
    plain = {4: first}
    for step in range(4, 8):
        plain[step + 1], _ = c.advance(plain[step], step)
    replay = Replay(c, 1, first)
    for step in order:
        assert equal(replay.state(step), plain[step])
        assert replay.root(step) == state_root(plain[step])
    next_state, _ = program().split(dict(replay.walk(5)))
    assert equal(next_state, plain[6])
    for outside in (3, 9):
        with pytest.raises(ValueError, match=f"S_{outside} is outside the segment's steps"):
            replay.state(outside)


def test_a_replay_computes_no_step_twice_on_its_way_down():
    """Protects the clock: halving an interval again and again uses the states it already has."""
    c, steps = computation(), []

    class Counted(Computation):
        def advance(self, state, step):
            steps.append(step)
            return super().advance(state, step)

    replay = Replay(Counted(c.job, c.program, c.data), 0, training().initial_state())
    for step in (2, 4, 3, 2, 3, 4):
        replay.root(step)
    assert steps == [0, 1, 2, 3, 2]


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_replay_keeps_no_more_states_than_it_has_room_for(room):
    """Protects memory: whatever a dispute asks for, in whatever order, as many states are held as
    allowed and the first; what was let go is computed again, to the same bits."""
    job = training(steps=33, segment_steps=33)
    c = Computation(job.job(program()), program(), job.data)
    first = training().initial_state()
    size = sum(t.numel() * t.element_size() for t in first)
    plain, roomy = Replay(c, 0, first), Replay(c, 0, first, room * size)
    for step in (*range(1, 33, 3), 5, 6, 7, 8, 32, 33, 1, 17, 0, 16):
        assert equal(roomy.state(step), plain.state(step))
        assert roomy.root(step) == plain.root(step)
        assert len(roomy._states) <= max(1, room) + 1
    assert len(plain._states) > 4


def test_between_two_steps_of_a_replay_others_may_go_first():
    """Protects answers in other disputes: a replay asks after every step."""
    c, asked = computation(), []
    replay = Replay(c, 0, training().initial_state(), between=lambda: asked.append(1))
    replay.state(3)
    assert len(asked) == 3


@pytest.mark.parametrize("arity_bits", [1, 2, 4])
def test_an_intervals_points_divide_it_as_the_court_does(arity_bits):
    """Protects the first phase of a dispute: floor((hi - lo) * i / p), strictly growing."""
    for lo in (0, 5, 2**40):
        for length in [*range(1, 40), 1000, 10**9 + 7]:
            hi = lo + length
            p = min(2**arity_bits, length)
            points = interior(lo, hi, arity_bits)
            assert points == [lo + length * i // p for i in range(p + 1)]
            gaps = [b - a for a, b in pairwise(points)]
            assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1 and sum(gaps) == length


# --- a job and what it names ---

MISMATCHES = [
    (lambda c: (replace(c.job, program=b"\x01" * 32), c.data), "the job names 0101"),
    (lambda c: (c.job, c.data[:1]), "1 data tensors; the job names 2"),
    (lambda c: (replace(c.job, data_tensors=3), c.data), "2 data tensors; the job names 3"),
    (lambda c: (replace(c.job, rows=11), c.data), r"shape \(10, 5\); the job has 11 rows"),
    (lambda c: (c.job, [c.data[0], c.data[1][:9]]), r"shape \(9,\); the job has 10 rows"),
    (lambda c: (c.job, [c.data[0][:, :4], c.data[1]]), "5 elements from data tensor 0; the 2"),
    (lambda c: (c.job, [c.data[1], c.data[0]]), "reads rows of . elements from data tensor"),
    (lambda c: (c.job, [c.data[0], c.data[1].int()]), "tensor 1 is torch.int32; .* torch.int64"),
    (lambda c: (replace(c.job, rows=2**33), [t[:0] for t in c.data]), "rows"),
]


@pytest.mark.parametrize(("change", "message"), MISMATCHES)
def test_a_job_that_names_one_thing_and_holds_another_is_refused(change, message):
    """Protects workers: a task whose parts do not fit is refused before a stake depends on it."""
    c = computation()
    job, data = change(c)
    with pytest.raises(JobMismatch, match=message):
        Computation(job, c.program, data)


def test_who_names_the_job_has_its_own_names():
    """Protects requesters: no hash covers names, so a store could call one weight another."""
    job = training()
    own = job.capture()
    spoilt = replace(own, state_names=own.state_names[::-1])
    assert spoilt.root == own.root
    assert named_by_its_owner(spoilt, job).state_names == own.state_names
    nodes = (Node(Kind.SOURCE, Source.STATE, F32, (4,), (), (0,)),)
    with pytest.raises(JobMismatch, match="name the one that was posted"):
        named_by_its_owner(Program(nodes, (0,), ("x",)), job)


def test_a_batch_of_more_rows_than_there_are_is_refused():
    """Protects workers from work that nobody has priced: each time through the data set has an
    order of its own, and one row a million times would be a million orders in a step."""
    read = Node(Kind.SOURCE, Source.BATCH, F32, (1 << 20, 1), (), (0, 1 << 20, 1))
    nodes = (Node(Kind.SOURCE, Source.STATE, F32, (4,), (), (0,)), read)
    one = Program(nodes, (0, 1), ("x",))
    job = Job(one.root, bytes(32), bytes(32), 1, 1, 7, 1, 1)
    with pytest.raises(JobMismatch, match="reads 1048576 rows a step; the data set has 1"):
        Computation(job, one, [torch.zeros(1, 1)])


def test_more_data_tensors_than_a_proof_is_made_for_are_refused():
    """Protects workers: what a list may hold is bounded, as docs/protocol.md says."""
    c = computation()
    job = replace(c.job, data_tensors=1025)
    with pytest.raises(JobMismatch, match="1025 data tensors; a data set has at most 1024"):
        Computation(job, c.program, [c.data[0]] * 1025)


# --- a job as its owner writes it ---

REFUSED = [
    ({"data": []}, "data=nothing", "at least one tensor"),
    ({"data": [torch.zeros(3, 5), torch.zeros(4)]}, "data=3 rows in data[0], 4", "same rows"),
    ({"data": [torch.zeros(()), torch.zeros(())]}, "data[0]=shape []", "same rows"),
    ({"batch_rows": 0}, "batch_rows=0", "from 1 to the data set's 10 rows"),
    ({"batch_rows": 11}, "batch_rows=11", "from 1 to the data set's 10 rows"),
    ({"steps": 0}, "steps=0", "at least 1"),
    ({"segment_steps": 0}, "segment_steps=0", "from 1 to steps, which is 10"),
    ({"segment_steps": 11}, "segment_steps=11", "from 1 to steps, which is 10"),
    ({"steps": 257, "segment_steps": 1}, "segment_steps=1", "at most 256"),
    ({"seed": -1}, "seed=-1", "unsigned 64-bit"),
    ({"seed": 2**64}, f"seed={2**64}", "unsigned 64-bit"),
]


@pytest.mark.parametrize(("changes", "field", "rule"), REFUSED)
def test_a_job_that_cannot_be_is_refused_with_field_value_and_rule(changes, field, rule):
    """Protects owners: the error says what was given, where, and what would do."""
    with pytest.raises(ValueError) as caught:
        training(**changes)
    assert str(caught.value).startswith(field) and rule in str(caught.value)


def test_a_jobs_hashes_are_those_of_its_parts():
    """Protects what goes on chain: state, data and program are the ones the owner holds."""
    t = training()
    assert t.job(program()) == Job(
        program().root, state_root(t.initial_state()), state_root(t.data), 2, 10, 11, 10, 4
    )
    other = training(data=[torch.zeros(10, 6), torch.zeros(10, dtype=torch.int64)])
    with pytest.raises(JobMismatch, match="from data tensor 0"):
        other.job(program())


def test_a_finished_state_becomes_the_owners_module():
    """Protects the result: parameters land under their names, the optimizer's tensors nowhere."""
    t = training()
    result = computation().run_segment(0, t.initial_state())
    module = t.load(result.state, program())
    named = dict(zip(program().state_names, result.state, strict=True))
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, named[name])


# --- journals ---


def journal(owner=OWNER, secret=b"s" * 32, task=b"t" * 32) -> Journal:
    reports = [[torch.tensor(0.5)], [torch.tensor(float("nan"))], [torch.tensor([1.5, -2.0])]]
    return Journal.make(owner, secret, task, range(6, 9), reports)


def test_a_journals_leaves_open_to_its_root():
    """Protects reports: each step's item stands at its place under the journal's root."""
    j = journal()
    for i, entry in enumerate(j.entries):
        assert entry.salt == report_salt(b"s" * 32, b"t" * 32, 6 + i)
        item = report_item(OWNER, 6 + i, entry.salt, list_root(entry.items))
        path = j.tree.path(i)
        assert climb(list_leaf(i, item), i, 3, 0, path, j.tree.depth) == j.root
    assert j.entries[0].items == (tensor_item(torch.tensor(0.5)),)


def test_a_journal_survives_its_artifact():
    """Protects disputes after a restart: the artifact opens the same journal."""
    j = journal()
    back = Journal.from_bytes(j.to_bytes())
    assert back.root == j.root
    assert (back.owner, back.first_step) == (OWNER, 6)
    assert [(e.salt, e.items) for e in back.entries] == [(e.salt, e.items) for e in j.entries]
    assert back.entries[2].values == ((1.5, -2.0),)


def test_a_journal_is_its_owners_alone():
    """Protects against copies: owner, secret, task and first step all change the root, and no two
    salts are equal."""
    j = journal()
    others = [
        journal(owner=b"\x0b" * 20),
        journal(secret=b"x" * 32),
        journal(task=b"u" * 32),
        replace(j, first_step=7),
        replace(j, entries=j.entries[::-1]),
        replace(j, entries=j.entries[:-1]),
    ]
    assert len({j.root, *(o.root for o in others)}) == 7
    salts = [e.salt for o in (j, *others[:3]) for e in o.entries]
    assert len(set(salts)) == 9  # the owner is in the item, not in the salt


def broken(change) -> bytes:
    document = json.loads(journal().to_bytes())
    change(document)
    return json.dumps(document).encode()


BROKEN = [
    b"",
    b"{}",
    b"[1]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    journal().to_bytes()[:-2],
    broken(lambda d: d.update(owner="0a")),
    broken(lambda d: d.update(owner=5)),
    broken(lambda d: d.update(first_step=-1)),
    broken(lambda d: d.update(first_step=2**64)),
    broken(lambda d: d.update(first_step="six")),
    broken(lambda d: d.update(first_step=float("inf"))),
    broken(lambda d: d.update(steps=[])),
    broken(lambda d: d.update(steps=None)),
    broken(lambda d: d["steps"][0].update(salt="00")),
    broken(lambda d: d["steps"][0].update(salt="zz" * 32)),
    broken(lambda d: d["steps"][0].update(items=["00"])),
    broken(lambda d: d["steps"][0].update(values=[[10**400]])),
    broken(lambda d: d["steps"][0].pop("items")),
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_journal_is_refused(data):
    """Protects verifiers: a stranger's artifact is either a journal or a ValueError, at once."""
    with pytest.raises(ValueError):
        Journal.from_bytes(data)


def test_an_entry_needs_no_values():
    """Protects the root: what is kept for people is in no hash."""
    j = journal()
    bare = tuple(Entry(e.salt, e.items) for e in j.entries)
    assert replace(j, entries=bare).root == j.root
