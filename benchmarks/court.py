"""What a dispute costs: gas of both sides, rounds, calldata, and the challenger's time.

python -m benchmarks.court [--json] [--quick] [--keep]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.disputes import Played, one_step, traced_seconds, whole_segment
from benchmarks.measure import machine
from benchmarks.models import gpt, language_loss
from benchmarks.node import NodeChain, node
from benchmarks.place import one_place, product
from scripts._contracts import CHECKERS
from tests import evm
from tests.exact import cases, helpers
from tests.revm import Deployed
from worker.examples.digits import digits
from worker.jobs.native import compiled
from worker.program import (
    Kind,
    Program,
    Reduce,
    Source,
    capture_training,
    fingerprinted,
    training_state,
)
from worker.program.builder import Builder
from worker.program.codes import BOOL, DTYPE_CODES, F32, I64, Map
from worker.program.views import View

ARITY_BITS = 5
# what a segment and a well-formed program have at most: steps, nodes, leaves of a tensor (of i64)
STEP_BITS, NODE_BITS, LEAF_BITS = 64, 20, 34
# what the step of `Gpt` has: nodes, and its largest tensors
GPT_NODES, GPT_SHAPE = 1811, (8, 6, 256, 256)
GPT_SHAPE_5 = (8, 6, 8, 32, 256)  # the same elements
FILL, FILL_BITS = float("-inf"), 0xFF800000
ROUNDS = 3  # disputes in which the challenger's time is taken
SNAPSHOT = Path(__file__).parent / "results" / "court.json"

Make = Callable[[Builder, list[View]], View]


def program_about(make: Make, state: Sequence[Tensor]) -> Program:
    """A program that keeps its state and reports one result."""
    builder = Builder()
    views = [builder.state(i, DTYPE_CODES[t.dtype], tuple(t.shape)) for i, t in enumerate(state)]
    report = builder.plain(make(builder, views))
    outputs = (*(v.node for v in views), report.node)
    return Program(tuple(builder.nodes), outputs, tuple(f"x{i}" for i in range(len(state))))


def proofs(chain: NodeChain) -> Iterator[tuple[str, Played]]:
    """One dispute for each kind of proof. Operands are large, so that their paths are long."""
    generator = torch.Generator().manual_seed(0)

    def f(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def index(length: int, top: int) -> Tensor:
        return torch.randint(0, top, (length,), generator=generator)

    def product(k: int) -> tuple[Make, list[Tensor], Kind]:
        return (lambda b, v: b.dot(v[0], v[1], 14)), [f(64, k), f(96, k)], Kind.DOT

    def unary(fn: Map) -> tuple[Make, list[Tensor], Kind]:
        return (lambda b, v: b.map(fn, v[0])), [f(1 << 16).abs()], Kind.MAP

    wide = [f(300, 4096)]
    every: dict[str, tuple[Make, list[Tensor], Kind]] = {
        "map add": (lambda b, v: b.map(Map.ADD, v[0], v[1]), [f(1 << 18), f(1 << 18)], Kind.MAP),
        "map where": (
            lambda b, v: b.map(
                Map.WHERE, b.map(Map.LT, v[0], v[1], dtype=BOOL), v[0], v[1], dtype=F32
            ),
            [f(512, 512), f(512, 512)],
            Kind.MAP,
        ),
        **{f"map {fn.name.lower()}": unary(fn) for fn in (Map.EXP, Map.LOG, Map.TANH, Map.ERF)},
        "reduce sum of 4096": (lambda b, v: b.sum(v[0], 1), wide, Kind.REDUCE),
        "reduce max of 4096": (lambda b, v: b.reduce(Reduce.MAX, v[0], 1), wide, Kind.REDUCE),
        "reduce argmax of 4096": (lambda b, v: b.reduce(Reduce.ARGMAX, v[0], 1), wide, Kind.REDUCE),
        "reduce exponent of 4096": (
            lambda b, v: b.reduce(Reduce.EXPONENT, v[0], 1),
            wide,
            Kind.REDUCE,
        ),
        **{f"dot of {k}": product(k) for k in (64, 1024, 4096)},
        "gather": (
            lambda b, v: b.gather(v[0], v[1].reshape((1, 2048))),
            [f(1, 1000, 384), index(2048, 1000)],
            Kind.GATHER,
        ),
        "scatter of 2048": (
            lambda b, v: b.scatter(v[0], v[1], 1000),
            [f(2048, 64), index(2048, 1000)],
            Kind.SCATTER,
        ),
        "source state": (lambda b, v: b.map(Map.NEG, v[0]), [f(1 << 18)], Kind.SOURCE),
        "source random": (
            lambda b, v: b.map(Map.MUL, v[0], b.random((1 << 16,))),
            [f(1 << 16)],
            Kind.SOURCE,
        ),
    }
    data = [torch.zeros(1)]
    for name, (make, state, kind) in every.items():
        program = program_about(make, state)
        # the last of its kind; of sources, the state or the random one
        wanted = [i for i, n in enumerate(program.nodes) if n.kind == kind]
        if kind == Kind.SOURCE:
            fn = Source.RANDOM if "random" in name else Source.STATE
            wanted = [i for i in wanted if program.nodes[i].fn == fn]
        elif kind in (Kind.DOT, Kind.MAP, Kind.REDUCE) and name.split()[0] != kind.name.lower():
            raise AssertionError(name)
        guilty = wanted[-1]
        element = program.nodes[guilty].count * 2 // 3
        place = (program, state, data, guilty, element)
        yield name, one_step(*place, chain=chain, arity_bits=ARITY_BITS, paid=False)
    yield "map where in a GPT's step", large_choice(chain, GPT_SHAPE, paid=False)
    yield "map where in a GPT's step, on the market", large_choice(chain, GPT_SHAPE, paid=True)
    for shape in (GPT_SHAPE, GPT_SHAPE_5):
        name = f"map where of padded operands, rank {len(shape)}, on the market"
        yield name, large_choice(chain, shape, paid=True, padded=True)


def large_choice(
    chain: NodeChain, shape: Sequence[int], paid: bool, padded: bool = False
) -> Played:
    """A choice between two of the largest tensors in a step of as many nodes as `Gpt`'s, at a place
    where all paths are longest: no map's proof reads more. paid: as of `play`.

    padded: every operand is one smaller on every axis, and read through a map that fills it up: of
    what the lowering makes no record is longer.
    """
    builder = Builder()
    less = int(padded)
    own = tuple(n - less for n in shape)
    before, after = (less,) * len(shape), (0,) * len(shape)
    x, y = (builder.state(i, F32, own) for i in range(2))
    views = [builder.map(Map.LT, x, y, dtype=BOOL), x, y]
    if padded:
        fills = (1, FILL_BITS, FILL_BITS)
        views = [v.pad(before, after, fill) for v, fill in zip(views, fills, strict=True)]
    chosen = builder.map(Map.WHERE, *views, dtype=F32)
    more = [builder.constant(k, I64) for k in range(GPT_NODES - len(builder.nodes))]
    outputs = tuple(v.node for v in (x, y, chosen, *more))
    program = Program(tuple(builder.nodes), outputs, ("x", "y"))
    generator = torch.Generator().manual_seed(0)
    state = [torch.randn(own, generator=generator) for _ in range(2)]
    a, b = state

    def wide(tensor: Tensor, fill: float | bool) -> Tensor:
        return torch.nn.functional.pad(tensor, (less, 0) * len(shape), value=fill)

    result = torch.where(wide(a < b, True), wide(a, FILL), wide(b, FILL))
    element = 0  # within the bounds of every operand, and no leaf near the last
    for n in shape:
        element = element * n + 2 * n // 3
    return one_place(
        program,
        state,
        [torch.zeros(1)],
        chosen.node,
        element,
        known=dict(enumerate([a, b, a < b])) | {chosen.node: result},
        chain=chain,
        bit=20,
        arity_bits=ARITY_BITS,
        paid=paid,
    )


def functions() -> dict[str, dict[str, int]]:
    """Gas of one scalar function: the median for ordinary numbers, the most of any tried where no
    operand is subnormal, and the most of any tried."""
    harness = evm.deploy("ArithmeticHarness")
    rng = np.random.default_rng(0)
    ordinary = rng.standard_normal((2, 400)).astype(np.float32).view(np.uint32)
    close = rng.integers(0, 1 << 24, 400, dtype=np.uint32) >> rng.integers(0, 24, 400, np.uint32)
    cancelling = np.stack([ordinary[0], ordinary[0] ^ 0x80000000 ^ close])
    odd = np.array([[x, y] for x in cases.SPECIALS[::3] for y in cases.SPECIALS[::3]]).T
    lengths = [(x, y) for x in cases.LEADING_BITS for y in cases.BESIDE_SUBNORMALS]
    subnormal_by_length = np.array([pair for x, y in lengths for pair in ((x, y), (y, x))]).T
    tried = (
        np.stack(helpers.random_pairs(rng, 1000)),
        cancelling,
        odd,
        subnormal_by_length,
        np.array(cases.SUM_EDGES).T,
    )
    mixed = np.concatenate([pairs.astype(np.uint32) for pairs in tried], axis=1)
    # where a function of one operand has its longest way: exp's ends, sin's reduction
    wide = rng.integers(0x32000000, 0x42D80000, (2, 2000), dtype=np.uint32)
    wide[1] |= 0x80000000
    edges = [*cases.EXP_LOG_EDGES, *cases.TANH_ERF_EDGES, *cases.SIN_COS_EDGES]
    single = np.concatenate([mixed[0], wide.ravel(), np.array(edges, np.uint32)])
    found = {}
    for names, two in ((helpers.BINARY[:4], True), (helpers.UNARY, False)):
        for code, name in enumerate(names):

            def gas(pairs: np.ndarray, two: bool = two, code: int = code) -> np.ndarray:
                asked = (harness.call("gasOf", two, code, int(x), int(y)) for x, y in pairs.T)
                return np.array([*asked])

            usual = gas(ordinary & 0x7FFFFFFF if name in ("sqrt", "log") else ordinary)
            pairs = mixed if two else np.stack([single, np.zeros_like(single)])
            used, magnitudes = gas(pairs), pairs & 0x7FFFFFFF
            subnormal = ((magnitudes > 0) & (magnitudes < 0x00800000)).any(axis=0)
            found[name] = {
                "median": int(median(usual)),
                "most_normal": int(max(usual.max(), used[~subnormal].max())),
                "most": int(max(usual.max(), used.max())),
            }
    return found


def sizes(chain: NodeChain) -> dict[str, int]:
    """Bytes of every deployed contract."""
    system = Deployed(ARITY_BITS, chain=chain)
    addresses = {
        "Stakes": system.stakes,
        "Market": system.market,
        "Disputes": system.disputes,
        "Verifiers": system.verifiers,
        "Court": system.court,
        **{kind: chain.deploy(kind) for kind in CHECKERS},
    }
    return {name: chain.size_of(address) for name, address in addresses.items()}


def digits_dispute(chain: NodeChain) -> Played:
    """Step 17 of the first 50 of the digits job: the gradient of the first layer's weights."""
    torch.manual_seed(0)
    job = digits()
    program, state, data = job.capture(), job.initial_state(), job.tensors
    nodes = enumerate(program.nodes)
    guilty = max(i for i, n in nodes if n.kind == Kind.DOT and n.count == 64 * 64)
    return whole_segment(
        program,
        data,
        state,
        job.job(program),
        chain=chain,
        step=17,
        node=guilty,
        element=4000,
        bit=12,
        arity_bits=ARITY_BITS,
    )


class Gpt:
    """The middle one of 1,000 steps of a 10 M-parameter GPT, 8 x 256 tokens: attention's scores in
    a backward pass, of which there are most."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        module = gpt()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
        tokens = torch.randint(0, 1000, (64, 257))
        self.data = [tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()]
        self.batch = [t[:8] for t in self.data]
        x, y = self.batch
        self.program = fingerprinted(capture_training(module, language_loss, optimizer, (x, y)))
        self.state = training_state(module, optimizer)
        self.parameters = sum(p.numel() for p in module.parameters())
        nodes = self.program.nodes
        most = max(n.count for n in nodes if n.kind == Kind.DOT)
        guilty = max(i for i, n in enumerate(nodes) if n.kind == Kind.DOT and n.count == most)
        # a row's first scores are masked, and their gradients nought whatever the product says
        matters = most * 2 // 3 + 200 * 256 + 100
        self.place = (self.program, self.state, self.data, guilty, matters)

    def dispute(self, chain: NodeChain, whole: bool = False) -> Played:
        """whole: the step is computed, by both sides; else the place alone is."""
        about: dict[str, Any] = {"chain": chain, "bit": 20, "steps": 1000, "arity_bits": ARITY_BITS}
        if whole:
            return one_step(*self.place, **about)
        return one_place(*self.place, known=product(self.program, self.place[3]), **about)

    def moves(self, chain: NodeChain) -> dict[str, Any]:
        return {
            "parameters": self.parameters,
            "nodes": len(self.program.nodes),
            "trace_elements": self.program.trace_elements,
            **self.dispute(chain).summary(),
        }

    def search(self) -> dict[str, Any]:
        """The challenger's time, in disputes with the whole step computed, and one traced step's
        beside each: before it and after it. The step itself runs as a worker's does, natively."""
        compiled(self.program)
        rounds, played = [], None
        before = self._traced()
        for _ in range(ROUNDS):
            with node() as chain:
                played = self.dispute(chain, whole=True)
            after = self._traced()
            kept, passing = ((b + a) / 2 for b, a in zip(before, after, strict=True))
            rounds.append((kept, passing, played.search_seconds))
            before = after
        assert played is not None
        kept, passing, seconds = (median(column) for column in zip(*rounds, strict=True))
        return {
            "traced_step_seconds": round(kept, 1),
            "traced_step_unkept_seconds": round(passing, 1),
            "search_seconds": round(seconds, 1),
            "search_over_traced_step": round(median(s / k for k, _, s in rounds), 2),
            "search_over_traced_step_unkept": round(median(s / p for _, p, s in rounds), 2),
            "disputes": ROUNDS,
            "compiled": self.program.is_compiled,
            "rounds": played.rounds,
            "gas": played.total(),
            "machine": machine(),
        }

    def _traced(self) -> tuple[float, float]:
        """Seconds of a traced step whose outputs are kept together, and of one whose are not."""
        step = (self.program, self.state, self.batch)
        return traced_seconds(*step, keep=True), traced_seconds(*step, keep=False)


def longest(every: Sequence[Played]) -> dict[str, int]:
    """Gas of each side in a dispute of as many moves as the bounds of a well-formed program allow:
    each move the dearest that was seen, and a twentieth more for paths longer than any seen."""

    def rounds(bits: int) -> int:
        return -(-bits // ARITY_BITS)

    trees = rounds(NODE_BITS) + rounds(LEAF_BITS)
    times = {
        "disputes.accuse": 1,
        "disputes.unseal": 1,
        "disputes.start": 1,
        "court.revealRoots": rounds(STEP_BITS),
        "court.descendSteps": rounds(STEP_BITS),
        "court.revealTrace": 1,
        "court.revealChildren": trees - 2,  # the roots' come with the trace and the tensor
        "court.descend": trees,
        "court.revealTensor": 1,
        "court.revealLeaf": 1,
        "court.proveElement": 1,
        "disputes.punish": 1,
    }
    gas = {"solver": 0, "challenger": 0}
    for label, count in times.items():
        side = "solver" if "reveal" in label else "challenger"
        gas[side] += count * max(s.gas for p in every for s in p.sent if s.label == label)
    return {side: total * 21 // 20 for side, total in gas.items()}


def quick(chain: NodeChain) -> dict[str, Any]:
    """What is the same on every machine."""
    about = {
        "arity_bits": ARITY_BITS,
        "contract_bytes": sizes(chain),
        "functions": functions(),
    }
    proven = dict(proofs(chain))
    digits = digits_dispute(chain)
    return {
        **about,
        "proofs": {name: played.proof.gas for name, played in proven.items()},
        "longest": longest([*proven.values(), digits]),
        "digits": digits.summary(),
        "gpt": Gpt().moves(chain),
    }


def show(found: dict[str, Any]) -> None:
    console = Console()
    tables = {
        "Contracts (bytes)": found["contract_bytes"],
        "Final proofs (gas)": found["proofs"],
        "The longest dispute (gas)": found["longest"],
    }
    for title, rows in tables.items():
        table = Table("what", title.split("(")[1][:-1], title=title)
        for name, value in rows.items():
            table.add_row(name, f"{value:,}")
        console.print(table)
    columns = ("median", "most, none subnormal", "most")
    table = Table("function", *columns, title="Scalar functions (gas)")
    for name, row in found["functions"].items():
        table.add_row(name, *(f"{row[key]:,}" for key in ("median", "most_normal", "most")))
    console.print(table)
    for name in ("digits", "gpt"):
        row = found[name]
        title = (
            f"{name}: {row['guilty']}, {row['rounds']} rounds, {row['gas']:,} gas "
            f"(solver {row['gas_solver']:,}), {row['calldata']:,} bytes"
        )
        table = Table("move", "times", "most gas", "most calldata", title=title)
        for label, m in row["moves"].items():
            table.add_row(label, str(m["times"]), f"{m['most_gas']:,}", f"{m['most_calldata']:,}")
        console.print(table)
    if row := found.get("gpt_search"):
        console.print(
            f"gpt, the challenger's search: {row['search_seconds']} s, "
            f"{row['search_over_traced_step']} of a traced step, "
            f"{row['search_over_traced_step_unkept']} of one whose outputs nobody keeps; "
            f"machine {row['machine']}"
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
@click.option("--quick", "only_quick", is_flag=True, help="Without the GPT's whole step: 6 GB.")
@click.option("--search", "only_search", is_flag=True, help="The GPT's whole step alone.")
@click.option("--keep", is_flag=True, help=f"Write {SNAPSHOT.name}, which a test compares with.")
def main(as_json: bool, only_quick: bool, only_search: bool, keep: bool) -> None:
    """Play disputes to their end on a node of their own and count what they cost."""
    found = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    if not only_search:
        with node() as chain:
            found |= quick(chain)
    if not only_quick:
        found["gpt_search"] = Gpt().search()
    if keep:
        SNAPSHOT.write_text(json.dumps(found, indent=2) + "\n")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show({k: v for k, v in found.items() if v})


if __name__ == "__main__":
    main()
