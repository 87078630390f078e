"""torch.optim.swa_utils.AveragedModel's update without a look at its count."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import swa_utils


@torch.no_grad()
def update_parameters(self: swa_utils.AveragedModel, model: nn.Module) -> None:
    """The first time a copy, then a step towards the model."""
    count = self.n_averaged
    averaged: list[Tensor] = list(self.module.parameters())
    given: list[Tensor] = list(model.parameters())
    buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
    if self.use_buffers:
        averaged += [mine for mine, _ in buffers]
        given += [theirs for _, theirs in buffers]
    else:
        for mine, theirs in buffers:
            mine.copy_(theirs)
    after = [_next_average(self, a, p, count) for a, p in zip(averaged, given, strict=True)]
    for mine, theirs, later in zip(averaged, given, after, strict=True):
        mine.copy_(torch.where(count == 0, theirs, later).to(mine.dtype))
    count += 1


def _next_average(
    model: swa_utils.AveragedModel, averaged: Tensor, given: Tensor, count: Tensor
) -> Tensor:
    if model.multi_avg_fn is not None:
        later = averaged.detach().clone()
        model.multi_avg_fn([later], [given], count)
        return later
    function = model.avg_fn or swa_utils.get_swa_avg_fn()
    found: Tensor = function(averaged.detach(), given, count)
    return found
