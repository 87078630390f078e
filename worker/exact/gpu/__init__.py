"""The exact arithmetic as Triton kernels, for GPUs: a twin of `worker.exact` in torch.

Triton comes with PyTorch's GPU builds; nothing else of ours imports this package before there is a
tensor on a GPU. `scalar` and `rows` are functions of one element and of a row, for kernels to call;
`dot` packs rows as 8-bit integers and multiplies them on matrix units.

Kernels must be compiled with `enable_fp_fusion=False` (`OPTIONS`): each line is one rounding.
"""

OPTIONS = {"enable_fp_fusion": False}
"""What every launch of a kernel of ours passes to the compiler."""
