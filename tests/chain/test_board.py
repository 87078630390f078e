"""The board says what the chain says, in calls that do not grow with what is over."""

import itertools
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from eth_utils import to_checksum_address
from web3 import Web3

from tests.chain import servers
from tests.revm import Deployed, address_of
from worker.chain import Board, ContractError, Job, Node, Segment, Status, Terms
from worker.chain.contracts import Court, Disputes, Market
from worker.chain.events import Accused, Posted, Started
from worker.chain.ledger import Ledger

JOB = Job(
    b"p" * 32, b"s" * 32, b"d" * 32, data_tensors=2, rows=10, seed=7, steps=3, segment_steps=2
)
FOUND, SALT = b"f" * 32, b"t" * 32  # of every accusation
PEOPLE = ("requester", "solver", "verifier", "outsider")


class Market4:
    """A market on the native EVM with four people, and what they do in a story."""

    def __init__(self):
        self.system = Deployed()
        self.chain = self.system.chain
        self.seeds = itertools.count(1)
        self.people = {name: self.system.clients(address_of(name)) for name in PEOPLE}
        for name, hand in self.people.items():
            hand.token.mint(address_of(name), 10**12)
            hand.token.approve(self.system.market, 10**12)
            hand.token.approve(self.system.stakes, 10**12)
            hand.stakes.deposit(10**6)
            hand.stakes.approve_locker(self.system.disputes)
            if name in ("solver", "verifier"):
                hand.stakes.approve_locker(self.system.market)
            if name == "verifier":
                self.system.stand(address_of(name), 2)
        outsider = self.people["outsider"]
        self.market, self.disputes, self.court = outsider.market, outsider.disputes, outsider.court

    def board(self, **options) -> Board:
        w3: Any = self.chain
        return Board(w3, self.market, self.disputes, self.court, **options)

    def of(self, name):
        return self.people[name].market

    def post(self):
        """A task, with a job of its own."""
        job, now = replace(JOB, seed=next(self.seeds)), self.chain.time
        receipt = self.of("requester").post(
            job, Terms(1000, 300, now + 100, now + 10_000, 1, 3_600)
        )
        return receipt.one(Posted).task

    def later(self, seconds=0, blocks=1):
        self.chain.mine(blocks, seconds)

    def assigned(self):
        number = self.post()
        self.of("solver").bid(number, 900)
        self.later(101)
        self.market.close(number)
        return number

    def committed(self):
        number = self.assigned()
        self.of("solver").commit_segments(
            number, 0, [Segment(bytes([i]) * 32, bytes([i + 9]) * 32) for i in range(2)]
        )
        self.later(blocks=3)
        self.market.draw(number)
        return number

    def accuse(self, number, segment=None):
        """The outsider files an accusation, and unseals it where its segment is told: its place."""
        disputes, me = self.disputes, address_of("outsider")
        told = (number, segment or 0, FOUND)
        place = disputes.accuse(number, disputes.seal_of(*told, me, SALT)).one(Accused).number
        if segment is not None:
            self.unseal(number, place, segment)
        return place

    def unseal(self, number, place, segment):
        self.disputes.unseal(number, place, segment, FOUND, SALT)

    def hear(self, number):
        """The dispute that begins."""
        return self.disputes.start(number, self.market.job(number)).one(Started).dispute

    def moment(self):
        chain = self.chain
        return chain.evm.snapshot(), chain.number, chain.time, len(chain.logs)

    def back_to(self, moment):
        snapshot, number, time, logs = moment
        self.chain.evm.revert(snapshot)
        self.chain.number, self.chain.time = number, time
        del self.chain.logs[logs:]


@pytest.fixture
def world():
    return Market4()


def assert_right(board, world):
    """All that the board says is what reading everything anew says."""
    market, court = world.market, world.court
    board.refresh()
    tasks = [(n, market.task(n)) for n in range(market.tasks())]
    queues = {n: world.disputes.queue(n) for n, _ in tasks}
    there = [(n, t) for n, t in tasks if not t.status.is_over or queues[n].waits]
    assert board.open_tasks() == there
    assert (board.count, board.block) == (len(tasks), world.chain.number)
    for number, _ in there:
        assert board.job(number) == market.job(number)
        assert board.queue(number) == queues[number]
        filed = range(queues[number].filed)
        there = [world.disputes.accusation(number, place) for place in filed]
        assert board.accusations(number) == there
        if queues[number].running:
            dispute = queues[number].dispute
            assert board.dispute(dispute) == court.dispute(dispute)
            assert court.events(dispute, board.opened(number, dispute)) == court.events(dispute)
    for name in PEOPLE:
        assert board.credit(address_of(name)) == market.credit(address_of(name))


def story(world):
    """Every kind of thing that can happen to tasks, a step at a time."""
    settled = world.committed()
    yield "drawn"
    world.of("verifier").attest(settled)
    yield "attested"
    cancelled, expired = world.post(), world.assigned()
    yield "two more"
    world.market.close(cancelled)
    yield "cancelled"
    accused = world.committed()
    yield "another"
    world.accuse(accused)
    yield "accused"
    world.unseal(accused, 0, 0)
    yield "unsealed"
    world.disputes.demand(accused, 1, 5)
    yield "demanded"
    world.accuse(accused)
    yield "accused again"
    first = world.hear(accused)
    yield "heard"
    world.people["solver"].court.reveal_roots(first, [bytes([7]) * 32])
    yield "answered"
    world.later(4_000)
    world.court.call_time(first)
    yield "lost"
    world.disputes.lapse(accused, 2)
    yield "lapsed"
    world.accuse(accused, 1)
    yield "accused once more"
    second = world.hear(accused)
    yield "a demand is heard"
    world.later(4_000)
    world.court.call_time(second)
    yield "condemned"
    world.later(700)
    world.disputes.punish(accused)
    yield "punished"
    world.disputes.dismiss(accused, 3)
    yield "dismissed"
    world.later(200_000)
    world.market.expire(expired)
    yield "expired"
    world.market.settle(settled)
    yield "settled"
    world.of("solver").withdraw()
    yield "withdrawn"


def test_the_board_follows_every_kind_of_event(world):
    """Protects roles from acting on what is no longer so: nothing changes without an event."""
    board = world.board()
    assert_right(board, world)
    for _ in story(world):
        assert_right(board, world)


def test_a_board_that_begins_late_says_the_same(world):
    for _ in story(world):
        assert_right(world.board(), world)


def test_what_is_over_takes_no_memory(world):
    board = world.board()
    for _ in story(world):
        board.refresh()
        for number, _ in board.open_tasks():
            board.accusations(number)
            if board.queue(number).running:
                board.dispute(board.queue(number).dispute)
    board.refresh()
    state = board._state
    assert (state.cards, state.memo) == ({}, {})


# --- reorganisations ------------------------------------------------------------------------------


def test_a_reorganisation_is_followed(world):
    """Protects from acting on tasks, bids and disputes that never were: at every step of a story
    another fork takes over, and afterwards the story goes on."""
    board, lagging = world.board(), world.board()
    assert_right(lagging, world)
    steps = story(world)
    for _ in steps:
        board.refresh()
        before = world.moment()
        for _ in range(2):
            other = world.committed()
            world.accuse(other, 1)
            world.hear(other)
            assert_right(board, world)
        world.back_to(before)
        assert_right(board, world)  # on a shorter chain
        world.later()
        assert_right(board, world)
        assert_right(lagging, world)


def test_a_number_that_is_another_task_has_its_job(world):
    before = world.moment()
    board = world.board()
    number = world.post()
    board.refresh()
    first = board.job(number)
    world.back_to(before)
    world.later()
    assert world.post() == number
    assert_right(board, world)
    assert board.job(number) != first


def test_a_task_that_was_over_comes_back(world):
    number = world.post()
    board = world.board()
    board.refresh()
    world.later(101)
    before = world.moment()
    world.market.close(number)
    assert_right(board, world)
    assert board.open_tasks() == []
    world.back_to(before)
    world.later()
    assert_right(board, world)
    assert [n for n, _ in board.open_tasks()] == [number]


def test_a_fork_beyond_memory_is_read_anew(world):
    before = world.moment()
    world.later(blocks=2)
    board = world.board()
    for _ in range(3):
        world.post()
        board.refresh()
    world.back_to(before)
    world.post()
    world.later(blocks=9)
    assert_right(board, world)


def test_a_node_that_lags_behind_takes_nothing_away(world, monkeypatch):
    """Protects from a second node behind one address, which has not seen the last blocks."""
    board = world.board()
    number = world.post()
    board.refresh()
    tip = world.chain.number
    real = world.chain.eth.get_block
    late = lambda which="latest": real(tip - 1 if which == "latest" else which)  # noqa: E731
    monkeypatch.setattr(world.chain.eth, "get_block", late)
    board.refresh()
    assert [n for n, _ in board.open_tasks()] == [number]
    assert board.block == tip


# --- confirmations --------------------------------------------------------------------------------


def test_a_task_is_shown_when_its_last_change_is_deep_enough(world):
    board = world.board(confirmations=3, account=address_of("solver"))
    number = world.post()
    for depth in range(4):
        board.refresh()
        assert [n for n, _ in board.open_tasks()] == ([number] if depth == 3 else [])
        world.later()
    world.of("solver").bid(number, 900)  # one's own: known to be, and sent again if it is lost
    board.refresh()
    assert [t.status for _, t in board.open_tasks()] == [Status.OPEN]
    world.later(101)
    world.market.close(number)
    for depth in range(4):
        assert bool(world.board(confirmations=3).open_tasks()) == (depth == 3)
        world.later()


def test_a_dispute_waits_for_no_confirmations(world):
    """A clock runs against whoever is to move."""
    board = world.board(confirmations=9)
    number = world.committed()
    board.refresh()
    assert board.open_tasks() == []
    world.accuse(number, 0)
    board.refresh()
    assert [n for n, _ in board.open_tasks()] == [number]


# --- what it costs --------------------------------------------------------------------------------


def jsonable(value):
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, dict):
        return {k: jsonable(v) for k, v in value.items()}
    return [jsonable(v) for v in value] if isinstance(value, list) else value


@contextmanager
def served(world):
    """The chain behind HTTP, its market, disputes and court as clients of it, their node."""
    eth = world.chain.eth

    def number(which):
        return int(which, 16) if which.startswith("0x") else which

    def answer(body):
        method, params = body["method"], body["params"]
        if method == "eth_chainId":
            result = eth.chain_id
        elif method == "eth_call":
            result = eth.call(params[0], number(params[1]))
        elif method == "eth_getBlockByNumber":
            result = eth.get_block(number(params[0]))
        else:
            assert method == "eth_getLogs"
            query = {k: number(v) if k.endswith("Block") else v for k, v in params[0].items()}
            found = eth.get_logs({**query, "topics": []})
            kinds = (query.get("topics") or [None])[0]
            found = [e for e in found if not kinds or "0x" + e["topics"][0].hex() in kinds]
            result = [{**e, "transactionIndex": 0, "removed": False} for e in found]
        return servers.answered(body, jsonable(result))

    def behave(body, _):
        answers = [answer(b) for b in body] if isinstance(body, list) else answer(body)
        return (200, {}, answers)

    with servers.serving(behave) as server:
        node = Node(server.url())
        w3, names = Web3(node, middleware=[]), {}
        sender: Any = None
        yield (
            w3,
            Market(w3, to_checksum_address(world.system.market), sender, names, 0),
            Disputes(w3, to_checksum_address(world.system.disputes), sender, names, 0),
            Court(w3, to_checksum_address(world.system.court), sender, names, 0),
            node,
        )


def cost(node, act):
    before = node.calls
    act()
    return node.calls - before


def test_calls_do_not_grow_with_tasks_that_are_over(world):
    """Protects a start on a market with a past, and a poll of it: 251 tasks that are over."""
    world.later()
    for _ in range(251):
        world.post()
    world.later(101)
    for number in range(251):
        world.market.close(number)
    live = world.post()
    with served(world) as (w3, market, disputes, court, node):
        board = Board(w3, market, disputes, court)
        # the tip; how many tasks; their structs in 3 batches; the last blocks' logs
        assert cost(node, board.refresh) == 6
        assert [n for n, _ in board.open_tasks()] == [live]
        assert cost(node, lambda: board.job(live)) == 0  # it was posted in the last blocks
        assert cost(node, board.refresh) == 1  # no new block: the tip alone
        world.later()
        assert cost(node, board.refresh) == 2  # and the new block's logs
        world.of("solver").bid(live, 900)
        assert cost(node, board.refresh) == 4  # and the task, and the tip once more
        assert board.task(live).price == 900


def test_a_flood_of_posts_is_read_once(world):
    """Protects from strangers who post to keep everyone busy: a round cost 13,000 calls."""
    with served(world) as (w3, market, disputes, court, node):
        board = Board(w3, market, disputes, court)
        board.refresh()
        for _ in range(250):
            world.post()
        # the tip, the last one's place, the logs; tasks in 3 batches; the tip again
        assert cost(node, board.refresh) == 3 + 3 + 1
        tasks = board.open_tasks()

        def look():
            for number, _ in tasks:
                board.job(number), board.accusations(number)

        assert len(tasks) == 250 and cost(node, look) == 0
        assert cost(node, board.refresh) == 1


def test_a_restart_reads_what_is_open_and_new(world, tmp_path):
    saved = tmp_path / "board.json"
    for _ in range(150):
        world.post()
    world.later(101)
    for number in range(149):
        world.market.close(number)
    with served(world) as (w3, market, disputes, court, node):
        Board(w3, market, disputes, court, saved=saved).refresh()
        assert json.loads(saved.read_text())["open"] == [149]
        world.post()
        again = Board(w3, market, disputes, court, saved=saved)
        # the tip, the saved block, the count, two structs, the last blocks' logs
        assert cost(node, again.refresh) == 5
        assert [n for n, _ in again.open_tasks()] == [149, 150]
        assert_right(again, world)


@pytest.mark.parametrize("damage", ["{", "[]", '{"market": 1}', None])
def test_what_was_saved_is_no_more_than_a_help(world, tmp_path, damage):
    """A damaged file, or one of another fork, costs a reading of everything."""
    saved = tmp_path / "board.json"
    before = world.moment()
    world.later()
    world.post()
    world.board(saved=saved).refresh()
    if damage is None:
        world.back_to(before)
        world.later(blocks=3)
        world.post()
    else:
        saved.write_text(damage)
    assert_right(world.board(saved=saved), world)


def test_a_tip_is_looked_at_once_for_several_roles(world):
    """Unless time has passed, or an own transaction is newer than what was seen."""
    times, own = [0.0], [0]
    with served(world) as (w3, market, disputes, court, node):
        board = Board(
            w3,
            market,
            disputes,
            court,
            fresh_seconds=1.0,
            own_block=lambda: own[0],
            clock=lambda: times[0],
        )
        board.refresh()
        assert cost(node, board.refresh) == 0
        times[0] = 1.5
        assert cost(node, board.refresh) == 1
        own[0] = world.chain.number + 1
        world.post()
        assert cost(node, board.refresh) > 1
        assert len(board.open_tasks()) == 1 and cost(node, board.refresh) == 0


def test_a_fork_while_reading_is_seen(world, monkeypatch):
    board = world.board()
    board.refresh()
    before = world.moment()
    world.post()
    real = Ledger._read
    done = []

    def fork_after(self, *arguments):
        real(self, *arguments)
        if not done:
            done.append(1)
            world.back_to(before)
            world.later(blocks=2)

    monkeypatch.setattr(Ledger, "_read", fork_after)
    board.refresh()
    assert_right(board, world)


def test_threads_share_a_board(world):
    """Answers, checks and work go on side by side."""
    board, failed, stop = world.board(), [], threading.Event()

    def look():
        try:
            while not stop.is_set():
                for number, task in board.open_tasks():
                    if board.task(number).status == Status.OPEN:
                        assert board.job(number).hash() == task.job
                    board.accusations(number)
        except ContractError:
            pass
        except Exception as error:
            failed.append(error)

    board.refresh()
    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        world.post()
        board.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert_right(board, world)
