"""Programs on a GPU: the bits of the CPU at every node."""

import pytest
import torch

from tests.program.helpers import same
from tests.program.models import seeded
from tests.program.test_families import FAMILIES
from worker.program import capture_training, training_state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("bits", [14, 20])
def test_a_traced_step_has_the_processors_bits(name, bits):
    """Protects solvers with GPUs: a verifier on a CPU finds their results, node by node."""
    family = FAMILIES[name]
    module, batch = seeded(1, family.make), seeded(2, family.batch)
    optimizer = family.optimizer(module.parameters())
    program = capture_training(module, family.loss, optimizer, batch, bits=bits)
    state = training_state(module, optimizer)
    here = program.trace(state, batch)
    there = program.trace([t.cuda() for t in state], [t.cuda() for t in batch])
    for n, (a, b) in enumerate(zip(here, there, strict=True)):
        assert same([a], [b.cpu()]), program.nodes[n].name
    after, reports = program.run([t.cuda() for t in state], [t.cuda() for t in batch])
    expected = program.run(state, batch)
    assert same([t.cpu() for t in (*after, *reports)], [*expected[0], *expected[1]])
