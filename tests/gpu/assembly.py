"""Kernels as an NVIDIA GPU gets them, made without one.

python -m tests.gpu.assembly OPERATOR ...

Prints which kernels of the operators' test programs add two 16-bit numbers in one register; see
`worker.program.gpu.text.ZERO`. A process of its own: the interpreter of tests compiles nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tests.program.cases import programs
from worker.exact.gpu import OPTIONS
from worker.exact.gpu.dot import Launch
from worker.program import Program
from worker.program.gpu.executor import GpuExecutor

HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {
    torch.float32: "*fp32",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.int8: "*i8",
    torch.uint8: "*u8",
}


def assembly(launch: Launch, operands: tuple[Tensor, ...]) -> str:
    """The PTX of a kernel for such operands, all at multiples of 16 bytes."""
    values = [*operands, *launch.numbers]
    names = launch.kernel.arg_names
    signature = {
        name: TYPES[value.dtype] if isinstance(value, Tensor) else "i32"
        for name, value in zip(names, values, strict=False)
    }
    constants = {(k,): 1 for k, value in enumerate(values) if isinstance(value, int) and value == 1}
    for k, (name, value) in enumerate(launch.constants, start=len(values)):
        signature[name], constants[k,] = "constexpr", value
    for (k,) in constants:
        signature[names[k]] = "constexpr"
    aligned = {
        (k,): [["tt.divisibility", 16]]
        for k, value in enumerate(values)
        if isinstance(value, Tensor) or value % 16 == 0
    }
    source = ASTSource(launch.kernel, signature=signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": launch.warps, "num_stages": launch.stages, **OPTIONS}
    return str(triton.compile(source, target=HOPPER, options=options).asm["ptx"])


def kernels(program: Program, state: list[Tensor]) -> Iterator[tuple[str, str]]:
    """Of the program's kernels that were generated for it, their names and PTX."""
    executor = GpuExecutor(program.nodes, program.outputs, torch.device("cpu"))
    executor._prepare(
        {n: state[node.attributes[0]] for n, node in executor._sources.items()}, False
    )
    for launch, operands in executor._launches:
        if launch is not None and launch.kernel.__name__.startswith("kernel_"):
            yield launch.kernel.__name__, assembly(launch, operands)


def main(operators: list[str]) -> None:
    count = 0
    for name, program, state in programs():
        if name.rsplit("-", 1)[0] in operators:
            for kernel, text in kernels(program, state):
                count += 1
                if "16x2" in text:
                    print(f"{name}: {kernel}")
    print(f"{count} kernels")


if __name__ == "__main__":
    main(sys.argv[1:])
