"""Runs a program's step on a GPU: launches once, then one replayed graph."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from worker.exact.gpu.constants import window_table
from worker.exact.gpu.dot import Launch
from worker.exact.native.kept import kept
from worker.program.codes import BOOL, DTYPES, Kind, Source
from worker.program.execute import Moment, constant_of
from worker.program.gpu.plan import Key, Operand, plan_of
from worker.program.gpu.walk import MOMENT, WINDOWS
from worker.program.records import Node

ALIGNMENT = 64
"""Bytes at whose multiples an output begins."""
COMPILERS = 16
"""Threads that compile kernels, at most: what takes long there does not hold Python's lock."""


class GpuExecutor:
    """Runs one well-formed program on one GPU.

    Operands are copied into memory of its own, and results out of it, so that a state outlives the
    steps after it; a training that goes on from each state to the next may donate them, and nothing
    is copied. If the first state is donated, its memory is what all later ones are written to.
    Raises Uncompilable for a program that only the plain executor takes.

    On the CPU, under Triton's interpreter (TRITON_INTERPRET=1), it computes the same, slowly: for
    tests.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[int], device: torch.device) -> None:
        self.nodes, self.outputs = tuple(nodes), tuple(outputs)
        self.device = device
        self._on_gpu = device.type != "cpu"
        processors = 1
        if self._on_gpu:
            processors = torch.cuda.get_device_properties(device).multi_processor_count
        plan = plan_of(nodes, outputs, processors)
        self._plan = plan
        self._module = module_of(plan.text)
        self._lock = threading.Lock()  # the memory serves one run at a time
        self._launches: list[tuple[Launch | None, tuple[Tensor, ...]]] = []
        self._graph: Any = None
        # tensors of others that stand in this one's memory: next states, and by their nodes states
        # that were adopted and are handed through
        self._lent: list[weakref.ref[Tensor]] = []
        self._handed: dict[int, weakref.ref[Tensor]] = {}
        self._sources = {
            n: node
            for n, node in enumerate(self.nodes)
            if node.kind == Kind.SOURCE and node.fn in (Source.STATE, Source.BATCH)
        }
        self._made = sorted({n for n in self.outputs if not self._is_source(n)})
        self._rooms: dict[int, Tensor] = {}  # where they are written, flat
        self._standing: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._renewed = plan.renewed

    @property
    def renews(self) -> int:
        """How many tensors of the state are written over by their next ones."""
        return len(self._renewed)

    def run(
        self,
        state: Sequence[Tensor],
        batch: Sequence[Tensor],
        moment: Moment,
        donate: bool = False,
    ) -> list[Tensor]:
        """The outputs. state: one tensor per state, any shape of the right count, on the device.

        donate: neither the state's tensors nor their memory are read again by who hands them in,
        and the next state is lent: it stands where it was written. Later runs leave it alone as
        long as one of the very tensors that were returned is held; views of them change.
        """
        given = {n: self._taken(node, state, batch) for n, node in self._sources.items()}
        here = torch.cuda.device(self.device) if self._on_gpu else nullcontext()
        with self._lock, here:
            if not self._launches:
                self._prepare(given, donate)
            self._release({id(t) for t in state} if donate else set())
            self._give_back(given if donate else {})
            self._fill(given, moment)
            try:
                self._run()
            except BaseException:
                self._standing.clear()  # what stands there now is anyone's guess
                raise
            return self._results(given, donate)

    def _run(self) -> None:
        if self._graph is not None:
            self._graph.replay()
            return
        self._launch()  # which loads every kernel
        if self._on_gpu:
            self._capture()

    # operands and results

    def _is_source(self, n: int) -> bool:
        node = self.nodes[n]
        return node.kind == Kind.SOURCE and node.fn != Source.RANDOM

    def _taken(self, node: Node, state: Sequence[Tensor], batch: Sequence[Tensor]) -> Tensor:
        """A tensor that was handed in; ValueError if it is not what the program takes."""
        value = (state if node.fn == Source.STATE else batch)[node.attributes[0]]
        if value.dtype != DTYPES[node.dtype] or value.numel() != node.count:
            raise ValueError(
                f"{node.name} {node.attributes[0]} is {value.dtype} of shape {tuple(value.shape)}; "
                f"the program takes {DTYPES[node.dtype]} of shape {node.shape}"
            )
        if value.device != self.device:
            raise ValueError(
                f"{node.name} {node.attributes[0]} is on {value.device}, not on {self.device}"
            )
        return value.detach() if value.requires_grad else value

    def _fill(self, given: dict[int, Tensor], moment: Moment) -> None:
        """Copies what was handed in to where the kernels read it, unless it stands there from the
        last run: the same tensor, unchanged since."""
        targets, values = [], []
        for n, target in self._inputs.items():
            value = given[n]
            kept, version = self._standing.get(n, (None, -1))
            if kept is not None and kept() is value and version == value._version:
                continue
            targets.append(target)
            # one that stands in this memory, but at another place, may be written before it is read
            lent = any(ref() is value for ref in self._lent)
            values.append((value.clone() if lent else value).reshape(-1))
            if n in self.outputs:  # handed through: it will come again
                self._standing[n] = (weakref.ref(value), value._version)
        if targets:
            torch._foreach_copy_(targets, values)
        if self._moment is not None:
            signed = [v - (1 << 64) if v >> 63 else v for v in (moment.seed, moment.step)]
            self._moment.copy_(torch.tensor(signed))

    def _release(self, donated: set[int]) -> None:
        """Moves what was lent and is still held from where this run writes."""
        lent = [t for ref in self._lent if (t := ref()) is not None]
        for tensor in lent:
            if id(tensor) not in donated:
                tensor.data = tensor.clone()
        self._lent = [weakref.ref(t) for t in lent if id(t) in donated]

    def _give_back(self, given: dict[int, Tensor]) -> None:
        """Moves what is handed through from this memory, unless it is handed in again where it
        stands."""
        for n, ref in list(self._handed.items()):
            tensor = ref()
            if tensor is None or given.get(n) is not tensor:
                del self._handed[n]
                if tensor is not None:
                    tensor.data = tensor.clone()

    def _results(self, given: dict[int, Tensor], lend: bool) -> list[Tensor]:
        """Copies of what the kernels have written, or, to lend, next states where they stand; what
        is a source, as it was given."""
        made = {n: room.view(self.nodes[n].shape) for n, room in self._rooms.items()}
        copied = [n for n in made if not lend or n not in self._renewed]
        if copied:
            fresh = self._room_for(copied)
            torch._foreach_copy_(list(fresh.values()), [self._rooms[n] for n in copied])
            made |= {n: room.view(self.nodes[n].shape) for n, room in fresh.items()}
        if lend:
            self._lent = [weakref.ref(made[n]) for n in self._renewed]
        for n, source in self._renewed.items():
            self._standing[source] = (weakref.ref(made[n]), made[n]._version)
        return [self._result(n, made, given) for n in self.outputs]

    def _result(self, n: int, made: dict[int, Tensor], given: dict[int, Tensor]) -> Tensor:
        shape = torch.Size(self.nodes[n].shape)
        if n in made:
            return made[n]
        if n in given:
            return given[n] if given[n].shape == shape else given[n].reshape(shape)
        return constant_of(self.nodes[n]).to(self.device)

    # launches

    def _prepare(self, given: dict[int, Tensor], donated: bool) -> None:
        """Finds every operand its memory, and compiles the kernels."""
        plan, device = self._plan, self.device
        memory: dict[Key, Tensor] = {}
        arena = torch.empty(plan.arena + 512, dtype=torch.uint8, device=device)
        arena = arena[-arena.data_ptr() % 256 :]
        for key, at in plan.offsets.items():
            memory[key] = self._typed(key, arena[at : at + plan.sizes[key]])
        adopted = self._adopted(given) if donated else {}
        self._rooms = {
            n: adopted[self._renewed[n]] for n in self._made if self._renewed.get(n) in adopted
        }
        self._rooms |= self._room_for([n for n in self._made if n not in self._rooms])
        memory |= {n: self._typed(n, room.view(torch.uint8)) for n, room in self._rooms.items()}
        used = {o.key for call in plan.calls for o in call.operands}
        rooms = adopted | {source: self._rooms[n] for n, source in self._renewed.items()}
        self._inputs = {
            n: rooms[n] if n in rooms else torch.empty_like(value).reshape(-1)
            for n, value in given.items()
            if n in used
        }
        self._standing = {n: (weakref.ref(given[n]), given[n]._version) for n in adopted}
        self._handed = {n: weakref.ref(given[n]) for n in adopted if n in self.outputs}
        memory |= {n: self._typed(n, t.view(torch.uint8)) for n, t in self._inputs.items()}
        memory |= {n: self._constant(n) for n in plan.leaves}
        self._moment = None
        if MOMENT in used:
            self._moment = torch.zeros(2, dtype=torch.int64, device=device)
            memory[MOMENT] = self._moment
        if WINDOWS in used:
            memory[WINDOWS] = torch.tensor(window_table(), device=device)
        launches = []
        for call in plan.calls:
            launch = call.launch
            if launch is not None and call.kernel is not None:
                launch = replace(launch, kernel=getattr(self._module, call.kernel))
            launches.append((launch, tuple(_from(memory, o) for o in call.operands)))
        if self._on_gpu:
            compile_all(launches)
        self._launches = launches

    def _adopted(self, given: dict[int, Tensor]) -> dict[int, Tensor]:
        """Of the tensors that were handed in, the states whose memory can be this executor's: all
        of it is theirs alone, and it is written as the next state, or never."""
        where = Counter(t.untyped_storage().data_ptr() for t in given.values())
        last = set(self._renewed.values())
        found = {}
        for n, value in given.items():
            storage, node = value.untyped_storage(), self.nodes[n]
            if (
                node.fn == Source.STATE
                and (n in last or (n in self.outputs and value.shape == torch.Size(node.shape)))
                and value.is_contiguous()
                and storage.nbytes() == value.numel() * value.itemsize
                and where[storage.data_ptr()] == 1
                and value.data_ptr() % ALIGNMENT == 0
            ):
                found[n] = value.reshape(-1)
        return found

    def _room_for(self, made: Sequence[int]) -> dict[int, Tensor]:
        """Memory for nodes' elements, in one piece."""
        dtypes = [DTYPES[self.nodes[n].dtype] for n in made]
        sizes = [self.nodes[n].count * d.itemsize for n, d in zip(made, dtypes, strict=True)]
        rooms = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
        whole = torch.empty(sum(rooms), dtype=torch.uint8, device=self.device)
        return {
            n: piece[:size].view(dtype)
            for n, piece, size, dtype in zip(made, whole.split(rooms), sizes, dtypes, strict=True)
        }

    def _typed(self, key: Key, memory: Tensor) -> Tensor:
        """A buffer's bytes as what the kernels take; bools are bytes there."""
        if isinstance(key, int):
            dtype = self.nodes[key].dtype
            return memory if dtype == BOOL else memory.view(DTYPES[dtype])
        assert isinstance(key, tuple)
        dtypes = {"packed": torch.int8, "scales": torch.float32, "sums": torch.int64}
        return memory.view(dtypes[key[0]])

    def _constant(self, n: int) -> Tensor:
        made = constant_of(self.nodes[n]).reshape(-1).to(self.device)
        return made.view(torch.uint8) if made.dtype == torch.bool else made

    def _launch(self) -> None:
        for launch, operands in self._launches:
            if launch is None:
                operands[0].zero_()
            else:
                launch(*operands)

    def _capture(self) -> None:
        """Launches into a graph, which computes nothing now."""
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        # other threads hash and copy meanwhile, which only concerns their own streams
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._launch()
        self._graph = graph


def _from(memory: dict[Key, Tensor], operand: Operand) -> Tensor:
    found = memory[operand.key]
    return found[operand.offset :] if operand.offset else found


def compile_all(launches: Sequence[tuple[Launch | None, tuple[Tensor, ...]]]) -> None:
    """Compiles the kernels of these launches side by side."""
    seen: dict[tuple[object, ...], tuple[Launch, tuple[Tensor, ...]]] = {}
    for launch, operands in launches:
        if launch is not None:
            aligned = tuple(o.data_ptr() % 16 == 0 for o in operands)
            seen.setdefault((replace(launch, grid=()), aligned), (launch, operands))
    with ThreadPoolExecutor(COMPILERS) as pool:
        list(pool.map(lambda one: one[0].compile(*one[1]), seen.values()))


def module_of(text: str) -> ModuleType:
    """A module with this source, kept in a file: Triton reads its kernels' source from there."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    name = f"assay_gpu_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    path = kept(name, ".py", lambda file: file.write_text(text))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
