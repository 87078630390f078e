"""The two promises of the court in every family of models that programs support, small.

Of each family random nodes are drawn, and a random element of each is corrupted. A cheat whose
trace holds it is condemned, even where the error is rounded away before it does harm; and whoever
accuses an honest solver of it has nothing to prove.
ASSAY_PLACES says at how many places of each function that the family has (by default at two places
of different kinds, for CI), and ASSAY_SEED at which; the seed is in the test's name.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.games.sides import Accusing, Answering
from tests.games.test_any_game import told
from tests.games.transcripts import Transcript
from tests.program import models, test_families, test_hugging_face
from tests.program.models import seeded
from tests.revm import Deployed, address_of
from worker.chain.errors import ContractError
from worker.chain.events import ElementTried
from worker.chain.types import Claim, Job, Phase
from worker.commit import state_root
from worker.examples.generate import GPT
from worker.jobs import Computation, GenerationJob, Journal
from worker.program import (
    Program,
    capture_inference,
    capture_training,
    inference_state,
    training_state,
)
from worker.simulation import WrongElement

PLACES = int(os.environ.get("ASSAY_PLACES", "0"))
FEW = 2
SEED = int(os.environ.get("ASSAY_SEED", "7"))
STEP = 2  # by then an optimizer has moments
Captured = tuple[Program, list[Tensor], list[Tensor]]


def trained(name: str) -> Captured:
    family = test_families.FAMILIES[name]
    module, batch = seeded(1, family.make), seeded(2, family.batch)
    optimizer = family.optimizer(module.parameters())
    program = capture_training(module, family.loss, optimizer, batch)
    return program, training_state(module, optimizer), batch


def hugging_face(name: str) -> Captured:
    module = seeded(1, test_hugging_face.MODELS[name])
    return _fine_tuned(module)


def lora() -> Captured:
    config = test_hugging_face.peft.LoraConfig(
        r=2, lora_alpha=4, lora_dropout=0.0, target_modules=["c_attn"]
    )
    base = seeded(1, test_hugging_face.gpt2)
    return _fine_tuned(seeded(2, lambda: test_hugging_face.peft.get_peft_model(base, config)))


def _fine_tuned(module: nn.Module) -> Captured:
    batch = seeded(3, test_hugging_face.batch)
    optimizer = test_hugging_face.adamw(module)
    program = capture_training(module, None, optimizer, batch)
    return program, training_state(module, optimizer), list(batch.values())


def batch_norm() -> Captured:
    def make() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.25),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        )  # fmt: skip

    module, batch = seeded(1, make), seeded(2, lambda: test_families.classes(4, 3, 1, 5, 5))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    program = capture_training(module, nn.functional.cross_entropy, optimizer, batch)
    return program, training_state(module, optimizer), batch


def inference() -> Captured:
    module, x = seeded(1, test_families.convolutional), seeded(2, lambda: torch.randn(2, 3, 16, 16))
    return capture_inference(module, [x]), inference_state(module), [x]


def generation() -> Captured:
    decoder = seeded(3, lambda: GPT(width=24, heads=3, layers=1, length=16))
    job = GenerationJob(
        decoder=decoder,
        prompts=[[5, 9, 2], [7]],
        new_tokens=6,
        segment_steps=3,
        temperature=1.0,
        top_k=6,
        seed=12,
    )
    program = job.capture()
    return program, job.initial_state(), job.tensors


FAMILIES: dict[str, Callable[[], Captured]] = {
    "perceptron": lambda: trained("adam"),
    "cnn": lambda: trained("convolutions"),
    "sequences": lambda: trained("sequences"),
    "resnet": lambda: trained("residual"),
    "batch norm and dropout": batch_norm,
    "gpt": lambda: trained("gpt, tanh"),
    "llama": lambda: trained("llama"),
    "lstm and gru": lambda: trained("recurrent"),
    "autoencoder": lambda: trained("autoencoder"),
    "pictures of words": models.picture,
    "attention": models.attention,
    "transformers gpt2": lambda: hugging_face("gpt2"),
    "transformers llama": lambda: hugging_face("llama"),
    "transformers bert": lambda: hugging_face("bert"),
    "lora": lora,
    "inference": inference,
    "generation": generation,
}


class Bench:
    """One family's program before a court of its own: a segment of one step."""

    def __init__(self, name: str) -> None:
        self.program, state, self.data = FAMILIES[name]()
        rows = len(self.data[0]) if self.data else 1
        roots = (self.program.root, state_root(state), state_root(self.data))
        self.job = Job(*roots, len(self.data), rows, 7, STEP + 1, 1)
        honest = Computation(self.job, self.program, self.data)
        for step in range(STEP):
            state, _ = honest.advance(state, step)
        self.state = state
        self.honest = Transcript(honest, STEP, state)
        self.system = Deployed(5)
        self.solver, self.challenger = address_of("solver"), address_of("challenger")
        self.client = self.system.chain.deploy("QuietClient")
        self.court = self.system.clients(self.solver).court
        self.their_court = self.system.clients(self.challenger).court

    def corrupted(self, rng: random.Random, node: int) -> tuple[int, Transcript] | None:
        """A random element of the node, and the transcript in which it is wrong; None where nothing
        can be computed from what it makes of it."""
        element, bit = rng.randrange(self.program.nodes[node].count), rng.randrange(31)
        place = {"step": STEP, "node": node, "element": element, "bit": bit}
        cheat = WrongElement(self.job, self.program, self.data, **place)
        try:
            made = Transcript(cheat, STEP, self.state)
        except (ValueError, IndexError):
            return None
        wrong, right = (t.committed_trace(STEP).items[node] for t in (made, self.honest))
        # the other NaN is the same NaN
        return None if wrong == right else (element, made)

    def play(self, own: Transcript, believed: Transcript) -> tuple[int, str | None]:
        """A dispute in which one party shows its own transcript and the other believes another:
        its number, and the name of what the court said to the last proof."""
        journal = Journal.make(
            bytes.fromhex(self.solver[2:]), b"secret", b"job", own.steps, own.result.reports
        )
        claim = Claim(
            self.solver, self.challenger, *self.job.to_abi()[:1], self.job.data,
            self.job.data_tensors, self.job.rows, self.job.seed, STEP, STEP + 1,
            own.root(STEP), own.last_root, journal.root,
        )  # fmt: skip
        number = self.court.disputes()
        opening = self.court.encode_call("open", claim, self.system.CLOCK, 0)
        self.system.chain.send(
            self.challenger, self.client, told(self.system.court, opening), "open"
        )
        accused = Answering(self.court, number, own, journal, 5)
        accuser = Accusing(self.their_court, number, believed, 5, STEP)
        while True:
            d = self.court.dispute(number)
            if d.phase == Phase.CLOSED:
                return number, None
            try:
                if d.solver_to_move:
                    accused.move(d)
                else:
                    accuser.move(d, self.court.events(number))
            except ContractError as error:
                assert not d.solver_to_move and d.phase == Phase.PROOF
                return number, error.name


@cache
def bench(name: str) -> Bench:
    return Bench(name)


def places(name: str) -> list[tuple[str, int, int, Transcript]]:
    """Function, node, element and corrupted transcript: of each kind, or of each function."""
    table, rng = bench(name), random.Random(f"{name} {SEED}")
    nodes = list(enumerate(table.program.nodes))
    rng.shuffle(nodes)
    wanted: dict[str, int] = {}
    for _, node in nodes:
        group = node.name if PLACES else node.kind.name
        wanted[group] = max(PLACES, 1)
    if not PLACES:
        wanted = dict.fromkeys(rng.sample(sorted(wanted), FEW), 1)
    found = []
    for i, node in nodes * 8:
        group = node.name if PLACES else node.kind.name
        if wanted.get(group) and (made := table.corrupted(rng, i)):
            wanted[group] -= 1
            found.append((node.name, i, *made))
    assert not any(wanted.values()), wanted
    return found


LARGE = ("gpt", "lstm and gru", "transformers gpt2", "transformers llama", "transformers bert")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"{name}-{SEED}", marks=[pytest.mark.slow] if name in LARGE else [])
        for name in FAMILIES
    ],
)
def test_a_corrupted_element_is_condemned_and_a_right_one_never(name):
    """Whatever the model is made of: the cheat loses at the very element that it has corrupted, and
    an honest solver that is accused there keeps its word and wins on time."""
    name = name.rsplit("-", 1)[0]
    table = bench(name)
    for function, node, element, cheat in places(name):
        about = f"{function} node {node} element {element}"
        number, refused = table.play(cheat, table.honest)
        verdict = table.court.verdict(number)
        assert refused is None and verdict is not None and verdict.solver_guilty, about
        tried = [e for e in table.court.events(number) if isinstance(e, ElementTried)]
        assert [(e.node, e.element) for e in tried] == [(node, element)], about

        number, refused = table.play(table.honest, cheat)
        assert refused == "ElementFollows", about
        table.system.chain.mine(seconds=table.system.CLOCK + 1)
        table.court.call_time(number)
        verdict = table.court.verdict(number)
        assert verdict is not None and not verdict.solver_guilty, about
