"""Programs as native code: whole steps in C, compiled on the host, for the honest path.

The same bits as `worker.program.execute`, faster: elementwise runs, softmax and norms are one walk
over memory each, products read their operands where they stand, and nothing is materialised that
only a dispute needs. `groups` decides what is computed together, `walk` and `products` write the C,
`source` puts the calls in order, `calls` lays them out in memory, `executor` compiles and calls.
"""

from worker.program.compiled.executor import CompiledExecutor, Uncompilable

__all__ = ["CompiledExecutor", "Uncompilable"]
