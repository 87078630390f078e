"""What happens to a worker is said and counted; what it has checked it checks once."""

from __future__ import annotations

import io
import json
import logging

import pytest

from tests.games.players import decoded
from tests.games.test_restart import CHEATS
from tests.games.world import FEE, PRICE, World
from worker import logs
from worker.jobs import Computation
from worker.metrics import Metrics
from worker.program import Program
from worker.roles import Keeper, Verifier, base
from worker.roles.news import News


@pytest.fixture(autouse=True)
def decode_once(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))


class Told:
    """A desk's news, and the counts of them."""

    def __init__(self, world, role, **changes):
        self.metrics = Metrics()
        self.desk = world.desk(role, on_event=self.metrics.on_event, **changes)
        self.news, self.keeper = News(self.desk), Keeper(self.desk, own=True)

    def events(self):
        """Each event, how often, and the tokens that it moved."""
        self.news.tick()
        found = {}
        for metric in self.metrics.registry.collect():
            for s in metric.samples:
                if s.name in ("assay_events_total", "assay_amounts_total"):
                    event = s.labels["event"]
                    found.setdefault(event, [0, 0])[s.name == "assay_amounts_total"] = int(s.value)
        return {event: tuple(counts) for event, counts in found.items()}


def test_a_task_that_goes_well_is_told_from_its_assignment_to_its_pay(caplog):
    """Protects operators from silence: assigned, drawn and paid, once each, to whom it concerns."""
    caplog.set_level(logging.INFO)
    world = World()
    solver, verifier = Told(world, "solver"), Told(world, "verifier")
    number, played = world.assign(world.job(), solver.desk)
    assert solver.events() == {"assigned": (1, 0)}
    world.play(played)
    world.chain.mine(blocks=3)
    world.play(Keeper(world.desks["outsider"]), Verifier(verifier.desk))
    assert verifier.events() == {"drawn": (1, 0)}
    world.chain.mine(seconds=86_401)
    Keeper(world.desks["outsider"]).tick()
    for told in (solver, verifier):
        told.keeper.tick()
    assert solver.events() == {"assigned": (1, 0), "paid": (1, PRICE)}
    assert verifier.events() == {"drawn": (1, 0), "paid": (1, FEE)}
    assert f"task {number}: assigned to this worker for {PRICE}" in caplog.text
    assert f"task {number}: drawn to check segments [0, 1, 2]" in caplog.text


def test_what_goes_wrong_is_told_with_what_it_costs():
    """Protects operators: accused and slashed; late, and fined; silent, and fined."""
    world = World()
    cheat = Told(world, "solver", computation_of=CHEATS["element"]())
    number, played = world.commit(world.job(), cheat.desk)
    stake = world.task(number).solver_stake
    verifier = Verifier(world.desks["verifier"])
    assert verifier.checks.tick()
    assert cheat.events() == {"assigned": (1, 0), "accused": (1, 0)}
    world.play(played, verifier)
    assert cheat.events() == {"assigned": (1, 0), "accused": (1, 0), "slashed": (1, stake)}
    world.finish()

    world.finish()

    late, silent = Told(world, "solver"), Told(world, "verifier")
    world.assign(world.job(), late.desk)
    late.news.tick()
    before = world.wealth("solver") + stakes(world, "solver")
    world.finish()
    fine = before - world.wealth("solver")
    assert fine > 0 and late.events()["fined"] == (1, fine)

    number, _ = world.commit(world.job(), world.desks["solver"])
    silent.news.tick()
    before = world.wealth("verifier") + stakes(world, "verifier")
    world.finish()
    fine = before - world.wealth("verifier")
    assert fine > 0 and silent.events()["fined"] == (1, fine)


def stakes(world, role):
    """Stake that is locked."""
    held = world.system.clients(world.people[role]).stakes
    return held.locked(world.people[role], world.system.market)


def test_every_json_line_of_a_task_names_it(monkeypatch):
    """Protects whoever reads logs: number and job stand in each line, the sender's too, and how
    far a long segment is."""
    monkeypatch.setattr(base, "SAID_EVERY", -1.0)
    world = World()
    job = world.job()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    log = logging.Logger("a worker", logging.INFO)
    log.addHandler(handler)
    world.commit(job, world.desk("solver", log=log))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {(line["task"], line["job"]) for line in lines} == {(0, job.hash().hex())}
    steps = [line for line in lines if line["message"].startswith("task 0 segment 0: 3 of 4 steps")]
    assert steps and {"done": 3, "total": 4}.items() <= steps[0].items()


def test_a_verifier_that_is_killed_checks_no_segment_twice(tmp_path):
    """Protects a verifier's window: a new process goes on behind the last segment that was found
    right, attests, and forgets what is over; a damaged file costs only time."""
    world = World()
    number, _ = world.commit(world.job(), world.desks["solver"])
    checked: list[int] = []

    class Counted(Computation):
        def run_segment(self, segment, state, progress=None, points=()):
            if len(checked) == 2 and 2 not in died:
                died.append(2)
                raise KeyboardInterrupt
            checked.append(segment)
            return super().run_segment(segment, state, progress, points)

    died: list[int] = []

    def process():
        return Verifier(world.desk("verifier", computation_of=Counted, folder=tmp_path))

    with pytest.raises(KeyboardInterrupt):
        process().checks.tick()
    assert process().checks.tick() and world.task(number).attested
    assert checked == [0, 1, 2]
    kept = json.loads((tmp_path / "findings.json").read_text())
    assert len(kept) == 3
    (tmp_path / "findings.json").write_text("[{}]")
    assert not process().checks.tick()


def test_a_finding_is_of_what_was_committed(tmp_path):
    """Protects a verifier's stake: another commitment, or another first state, is checked anew."""
    world = World()
    number, _ = world.commit(world.job(), world.desks["solver"])
    checks = Verifier(world.desk("verifier", folder=tmp_path)).checks
    task = world.task(number)
    bound = checks.bound(number, task, 0)
    found = checks.finding(number, task, 0, bound)
    again = Verifier(world.desk("verifier", folder=tmp_path)).checks.findings
    assert again.get(task, 0, bound.start, bound.committed) == found
    other = checks.bound(number, task, 1)
    assert again.get(task, 0, bound.start, other.committed) is None
    assert again.get(task, 0, other.start, bound.committed) is None
    assert again.get(task, 1, bound.start, bound.committed) is None
