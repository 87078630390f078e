"""A program: the canonical graph of one step."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from worker.commit import Tree, list_tree
from worker.exact.native import NoCompiler
from worker.program.compiled import CompiledExecutor
from worker.program.cost import Summary, summarise
from worker.program.execute import Executor, Moment, Tamper
from worker.program.records import (
    Bound,
    Header,
    Node,
    from_document,
    numbers_of,
    output_item,
    to_document,
)
from worker.program.wellformed import check_program
from worker.untrusted import parse_json

if TYPE_CHECKING:
    from worker.program.gpu.executor import GpuExecutor

FORMAT = "assay-program-1"
RESERVED = ("__metadata__",)  # what safetensors calls no tensor


@dataclass(frozen=True)
class Program:
    """The canonical graph of one step: a state and a batch give the next state and a report.

    outputs: the node of each next-state tensor, then of each reported one. state_names: what the
    state's tensors are called where the program was captured. origins: for people, the operator and
    the line of the user's code that each node came from. bounds: where indices must lie, known
    where the program was captured and in no artifact. No hash covers these three: of a program that
    comes out of a store names and origins are a stranger's, and nothing depends on them.

    Raises MalformedProgram when the records do not make a well-formed program.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    state_names: tuple[str, ...]
    origins: tuple[str, ...] = field(default=(), compare=False)
    bounds: tuple[Bound, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        check_program(self.nodes, self.outputs, len(self.state_names))

    @property
    def state_count(self) -> int:
        return len(self.state_names)

    @property
    def report_count(self) -> int:
        return len(self.outputs) - self.state_count

    @property
    def own_reports(self) -> tuple[int, ...]:
        """The nodes of a job's reports, but for the fingerprint, which is every job's last."""
        return self.outputs[self.state_count : -1]

    @cached_property
    def node_tree(self) -> Tree:
        return list_tree([n.item for n in self.nodes])

    @cached_property
    def output_tree(self) -> Tree:
        return list_tree([output_item(n) for n in self.outputs])

    @cached_property
    def header(self) -> Header:
        """The roots and counts of its lists, which its own root is the hash of."""
        return Header(
            nodes=self.node_tree.root,
            node_count=len(self.nodes),
            outputs=self.output_tree.root,
            state_count=self.state_count,
            report_count=self.report_count,
        )

    @cached_property
    def root(self) -> bytes:
        """sha256(0x04 | abi.encode(header)): what a task names."""
        return self.header.root

    @cached_property
    def _executor(self) -> Executor:
        return Executor(self.nodes, self.outputs)

    @cached_property
    def _compiled(self) -> dict[torch.device, CompiledExecutor | GpuExecutor]:
        """The native code of the step by device, once `compile` has made it."""
        return {}

    def compile(self, device: torch.device | str = "cpu") -> None:
        """Makes native code of the step, which `run` uses from then on for tensors on `device`.

        The bits stay the same. Needs a C compiler on the host, or Triton for a GPU; takes seconds,
        less where this program or one like it was compiled before. Raises NoCompiler, or
        Uncompilable for a program that only the interpreter takes.
        """
        where = _indexed(torch.device(device))
        if where in self._compiled:
            return
        if where.type == "cpu":
            self._compiled[where] = CompiledExecutor(self.nodes, self.outputs)
            return
        try:
            from worker.program.gpu.executor import GpuExecutor
        except ImportError as error:
            raise NoCompiler(
                f"{error}: steps on a GPU are compiled by Triton, which comes with PyTorch's "
                "builds for GPUs; or pip install triton"
            ) from error
        self._compiled[where] = GpuExecutor(self.nodes, self.outputs, where)

    @property
    def is_compiled(self) -> bool:
        return bool(self._compiled)

    @property
    def trace_elements(self) -> int:
        """Elements of all nodes together: no run ever holds more."""
        return sum(n.count for n in self.nodes)

    def run(
        self,
        state: Sequence[Tensor],
        batch: Sequence[Tensor],
        *,
        seed: int = 0,
        step: int = 0,
        donate: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The next state and the report, without what only a dispute needs.

        seed, step: of the job, and the number of this step in it; random numbers depend on both.
        donate: the state's tensors are not read again by who hands them in; on a GPU the next state
        may take their memory, and views of it change with the next run.
        """
        devices = {t.device for t in (*state, *batch)}
        moment = Moment(seed, step)
        native = self._compiled.get(devices.pop()) if len(devices) == 1 else None
        if native is None:
            results = self._executor.run(state, batch, moment)
        elif isinstance(native, CompiledExecutor):
            results = native.run(state, batch, moment)
        else:
            results = native.run(state, batch, moment, donate)
        return results[: self.state_count], results[self.state_count :]

    def interpret(
        self, state: Sequence[Tensor], batch: Sequence[Tensor], *, seed: int = 0, step: int = 0
    ) -> tuple[list[Tensor], list[Tensor]]:
        """`run` without native code: what it is checked against."""
        results = self._executor.run(state, batch, Moment(seed, step))
        return results[: self.state_count], results[self.state_count :]

    def trace(
        self,
        state: Sequence[Tensor],
        batch: Sequence[Tensor],
        tamper: Tamper | None = None,
        *,
        seed: int = 0,
        step: int = 0,
    ) -> list[Tensor]:
        """Every node's output, bit for bit what `run` computes; `walk` does not hold them all.

        tamper: called with a node's number and its output, returns what takes its place; this is
        how tests and the demo cheat.
        """
        return [value for _, value in self.walk(state, batch, tamper, seed=seed, step=step)]

    def walk(
        self,
        state: Sequence[Tensor],
        batch: Sequence[Tensor],
        tamper: Tamper | None = None,
        wanted: Collection[int] | None = None,
        *,
        seed: int = 0,
        step: int = 0,
    ) -> Iterator[tuple[int, Tensor]]:
        """The nodes' numbers and outputs as `trace` has them, one after another, in about the
        memory of a run: a trace of a large model is larger than a host's memory.

        wanted: the nodes to yield, by default all; only they and what they depend on are computed.
        """
        return self._executor.walk(state, batch, Moment(seed, step), tamper, wanted)

    def split(
        self, trace: Sequence[Tensor] | Mapping[int, Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The next state and the report within a trace."""
        results = [trace[n] for n in self.outputs]
        return results[: self.state_count], results[self.state_count :]

    def to_bytes(self) -> bytes:
        """The serialised form: the records in JSON, with the names for people."""
        document = {
            "format": FORMAT,
            "records": to_document(self.nodes),
            "outputs": list(self.outputs),
            "state_names": list(self.state_names),
            "origins": list(self.origins),
        }
        return json.dumps(document).encode()

    @staticmethod
    def from_bytes(data: bytes, root: bytes | None = None) -> Program:
        """Inverse of `to_bytes`.

        Raises ValueError when the data is no program, or not the one with this root.
        """
        try:
            document = parse_json(data)
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r}; this version reads {FORMAT!r}")
            nodes = from_document(document["records"])
            outputs = numbers_of(document["outputs"])
            names = _names(document["state_names"])
            origins = tuple(_line(o) for o in document["origins"][: len(nodes)])
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a serialised program: {error!r}") from error
        program = Program(nodes, outputs, names, origins)
        if root is not None and program.root != root:
            raise ValueError(f"the program's root is {program.root.hex()}, not {root.hex()}")
        return program

    def save(self, path: str | Path) -> None:
        Path(path).write_bytes(self.to_bytes())

    @staticmethod
    def load(path: str | Path, root: bytes | None = None) -> Program:
        return Program.from_bytes(Path(path).read_bytes(), root)

    def origin(self, node: int) -> str:
        """Where a node came from, for people."""
        return self.origins[node] if node < len(self.origins) else ""

    def summary(self) -> Summary:
        """Nodes by kind, and what a step costs: FLOPs, bytes, memory, work units.

        `str` of it is a table for people. `worker.program.cost` says what is counted.
        """
        return summarise(self.nodes, self.outputs, self.state_count, self.root)


LONGEST_NAME = 1000


def _line(text: Any) -> str:
    """What a stranger wrote, as something that a person can be shown on one line."""
    short = str(text)[:LONGEST_NAME]
    return short if short.isprintable() else "".join(c if c.isprintable() else "?" for c in short)


def _names(given: Sequence[Any]) -> tuple[str, ...]:
    """A stranger's names for the state's tensors; a place instead of what is no name of its own."""
    names: dict[str, None] = {}
    for place, name in enumerate(given):
        sound = isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()
        own = sound and name not in names and name not in RESERVED and not name.startswith("#")
        names[name if own else f"#{place}"] = None
    return tuple(names)


def _indexed(device: torch.device) -> torch.device:
    """The device as tensors name theirs: a GPU with its number."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device
