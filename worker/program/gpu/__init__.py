"""Programs as Triton kernels: whole steps on a GPU, for the honest path.

The same bits as `worker.program.execute`. Nodes are grouped as for native code
(`worker.program.compiled.groups`); `walk` writes a kernel for each group, in which a row stays in
registers from its first reduction to its last; products go through `worker.exact.gpu.dot`; `plan`
puts the launches in order and finds every tensor its memory; `executor` captures them as one CUDA
graph and replays it.
"""
