"""What upsampling is tried with: output size, then scales; F.interpolate(size=...) gives None."""

from __future__ import annotations

import torch

from tests.program.cases.tools import CLOSE, cases, f

aten = torch.ops.aten
CORNERS = [[False], [True]]
SIZES = [
    ([8, 10, 4], [2.0, 2.0, 2.0]),
    ([3, 9, 3], [None, None, None]),
    ([6, 7, 2], [1.5, 1.4, 1.0]),
]

for _name, _axes, _rest in (
    ("upsample_nearest1d", 1, [[]]),
    ("upsample_nearest2d", 2, [[]]),
    ("upsample_nearest3d", 3, [[]]),
    ("_upsample_nearest_exact1d", 1, [[]]),
    ("_upsample_nearest_exact2d", 2, [[]]),
    ("_upsample_nearest_exact3d", 3, [[]]),
    ("upsample_linear1d", 1, CORNERS),
    ("upsample_bilinear2d", 2, CORNERS),
    ("upsample_trilinear3d", 3, CORNERS),
    ("upsample_bicubic2d", 2, CORNERS),
    ("_upsample_bilinear2d_aa", 2, CORNERS[:1]),
    ("_upsample_bicubic2d_aa", 2, CORNERS[:1]),
):
    _forward = getattr(aten, _name).default
    _back = getattr(aten, f"{_name}_backward").default
    for _more in _rest:
        for _size, _scales in SIZES[: 1 if _axes == 3 else 3]:
            _shape, _out = (2, 3, 4, 5, 2)[: 2 + _axes], _size[:_axes]
            cases(_forward)((f(*_shape), _out, *_more, *_scales[:_axes]))
            cases(_back)((f(2, 3, *_out), _out, list(_shape), *_more, *_scales[:_axes]))
    CLOSE |= dict.fromkeys((_forward, _back), 1e-5)
