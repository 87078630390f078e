"""Compiles a program's step and calls it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from worker.exact import native
from worker.program.codes import DTYPES, Kind, Source
from worker.program.compiled.calls import Calls
from worker.program.compiled.groups import Uncompilable
from worker.program.compiled.source import StepSource, files_of, step_source
from worker.program.execute import Moment, constant_of
from worker.program.records import Node


class CompiledExecutor:
    """Runs one well-formed program on the CPU, as one call of native code.

    Raises Uncompilable for a program that only the plain executor takes, NoCompiler where the host
    has no C compiler.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[int]) -> None:
        source = step_source(nodes, outputs)
        self._bind(nodes, outputs, source, native.load(*files_of([source])))

    @classmethod
    def several(
        cls, programs: Sequence[tuple[Sequence[Node], Sequence[int]]], flags: Sequence[str] = ()
    ) -> list[Self]:
        """Executors of several programs, nodes and outputs of each, compiled in one go."""
        sources = [step_source(*program) for program in programs]
        library = native.load(*files_of(sources), flags=flags)
        made = []
        for (nodes, outputs), source in zip(programs, sources, strict=True):
            one = cls.__new__(cls)
            one._bind(nodes, outputs, source, library)
            made.append(one)
        return made

    def _bind(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[int],
        source: StepSource,
        library: ctypes.CDLL,
    ) -> None:
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)
        self._calls = Calls(source.calls, library)
        self._scratch_bytes = self._calls.scratch + 64
        self._arena_bytes = source.arena + 64
        leaves = (number for memory, number in self._calls.memories if memory == "leaf")
        self._leaves = {n: constant_of(self.nodes[n]) for n in leaves}
        self._lock = threading.Lock()  # the memory serves one run at a time
        self._memory: Tensor | None = None
        self._scratch: Tensor | None = None
        sources = [n for n in self.nodes if n.kind == Kind.SOURCE]
        self._states = {n.attributes[0]: n for n in sources if n.fn == Source.STATE}
        self._batches = {n.attributes[0]: n for n in sources if n.fn == Source.BATCH}

    @property
    def memory(self) -> int:
        """Bytes of what is neither handed in nor handed out."""
        return self._arena_bytes + self._scratch_bytes

    def run(self, state: Sequence[Tensor], batch: Sequence[Tensor], moment: Moment) -> list[Tensor]:
        """The outputs. state: one tensor per state, any shape of the right count, on the CPU."""
        states = [_taken(t, self._states.get(i)) for i, t in enumerate(state)]
        batches = [_taken(t, self._batches.get(i)) for i, t in enumerate(batch)]
        results = self._results(states, batches)
        with self._lock:
            if self._memory is None or self._scratch is None:
                self._memory = torch.empty(self._arena_bytes, dtype=torch.uint8)
                self._scratch = torch.empty(self._scratch_bytes, dtype=torch.uint8)
            native.set_threads(torch.get_num_threads())
            tensors = {("leaf", n): leaf for n, leaf in self._leaves.items()}
            for memory, given in (("state", states), ("batch", batches), ("output", results)):
                tensors |= {(memory, n): tensor for n, tensor in enumerate(given)}
            addresses = {key: tensor.data_ptr() for key, tensor in tensors.items()}
            addresses["arena", 0] = _aligned(self._memory)
            self._calls.run(
                [addresses[key] for key in self._calls.memories],
                _aligned(self._scratch),
                moment.seed,
                moment.step,
            )
        return results

    def _results(self, states: list[Tensor], batches: list[Tensor]) -> list[Tensor]:
        """Memory for the outputs; one that is a source is handed through."""
        made: dict[int, Tensor] = {}
        for n in self.outputs:
            if n in made:
                continue
            node = self.nodes[n]
            if node.kind == Kind.SOURCE and node.fn == Source.STATE:
                made[n] = states[node.attributes[0]].view(node.shape)
            elif node.kind == Kind.SOURCE and node.fn == Source.BATCH:
                made[n] = batches[node.attributes[0]].view(node.shape)
            elif node.kind == Kind.SOURCE and node.fn != Source.RANDOM:
                made[n] = constant_of(node)
            else:
                made[n] = torch.empty(node.shape, dtype=DTYPES[node.dtype])
        return [made[n] for n in self.outputs]


def _taken(value: Tensor, node: Node | None) -> Tensor:
    """A tensor that was handed in, contiguous; ValueError if it is not what the program takes."""
    if node is None:
        return value  # nothing reads it
    if value.dtype != DTYPES[node.dtype] or value.numel() != node.count:
        raise ValueError(
            f"{node.name} {node.attributes[0]} is {value.dtype} of shape {tuple(value.shape)}; "
            f"the program takes {DTYPES[node.dtype]} of shape {node.shape}"
        )
    if value.device.type != "cpu":
        raise ValueError(f"{node.name} {node.attributes[0]} is on {value.device}, not on the CPU")
    return value.detach().contiguous()


def _aligned(memory: Tensor) -> int:
    return -(-memory.data_ptr() // 64) * 64


__all__ = ["CompiledExecutor", "Uncompilable"]
