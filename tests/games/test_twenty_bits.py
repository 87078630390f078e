"""Products of twenty bits, on trial like any others."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.games.world import ROLES, WEALTH, World
from worker.chain.events import ElementTried
from worker.chain.types import Job, Status
from worker.program import Kind, capture_training, fingerprinted, training_state
from worker.roles import Verifier, put_job
from worker.simulation import WrongElement


@pytest.mark.parametrize("operand, bit", [(None, 20), (0, 0), (2, 3)])
def test_a_cheat_in_a_product_of_twenty_bits_is_condemned(operand, bit):
    """Protects requesters who ask for fp32's precision: the court tries these products too,
    and the integers that they are made of, to the last bit."""
    torch.manual_seed(3)
    x = torch.randn(40, 20)
    y = (x[:, 0] > 0).long()
    module = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    program = capture_training(module, F.cross_entropy, optimizer, (x[:8], y[:8]), bits=20)
    program = fingerprinted(program)
    world = World()
    state = training_state(module, optimizer)
    root, data, at_first = put_job(world.store, program, [x, y], state)
    job = Job(root, at_first, data, 2, len(x), 7, 4, 2)
    assert all(n.attributes[4] == 20 for n in program.nodes if n.kind == Kind.DOT)
    node = max(i for i, n in enumerate(program.nodes) if n.kind == Kind.DOT)  # of a gradient
    if operand is not None:
        node = program.nodes[node].inputs[operand].node
        assert program.nodes[node].attributes == (20,)
    cheat = WrongElement.at(step=1, node=node, element=5, bit=bit)
    number, solver = world.commit(job, world.desk("solver", computation_of=cheat))
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).status == Status.CONDEMNED
    tried = [e for e in world.desks["outsider"].court.events(0) if isinstance(e, ElementTried)]
    assert [(e.node, e.element) for e in tried] == [(node, 5)]
    assert world.all_tokens() == WEALTH * len(ROLES), "tokens are conserved"
