"""Losses and distances whose own operators have no gradient in programs, as what they sum up."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.program.decompositions.registry import replaces
from worker.program.decompositions.values import known, of_a_run
from worker.program.lower import Unsupported

# what no path's logarithm reaches; a sum of many stays far from infinity
NEVER = -1e30


def reduced(each: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return each
    return each.mean() if reduction == "mean" else each.sum()


@replaces(F.ctc_loss)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Over all paths that read as the target: [T, N, C] logarithms, targets [N, S] or in a row."""
    if log_probs.dim() == 2:
        log_probs, targets = log_probs.unsqueeze(1), targets.reshape(1, -1)
    rows = log_probs.shape[1]
    inputs, lengths = _lengths(input_lengths, rows), _lengths(target_lengths, rows)
    if targets.dim() == 1:
        targets = _apart(targets, lengths)
    blanks = torch.full(targets.shape, blank, dtype=targets.dtype)
    symbols = F.pad(torch.stack([blanks, targets], 2).flatten(1), (0, 1), value=blank).long()
    width = symbols.shape[1]
    # a symbol may follow the one before the blank, unless it is the same
    skips = F.pad(symbols[:, 2:] != symbols[:, :-2], (2, 0)) & (symbols != blank)
    read = log_probs.gather(2, symbols.expand(len(log_probs), rows, width))
    paths = torch.where(torch.arange(width) < 2, read[0], NEVER)
    for t in range(1, len(log_probs)):
        one = F.pad(paths[:, :-1], (1, 0), value=NEVER)
        two = torch.where(skips, F.pad(paths[:, :-2], (2, 0), value=NEVER), NEVER)
        ways = torch.stack([paths, one, two])
        most = ways.detach().amax(0)
        after = most + (ways - most).exp().sum(0).log() + read[t]
        paths = torch.where((inputs > t).unsqueeze(1), after, paths)
    end = 2 * lengths.unsqueeze(1)
    last = paths.gather(1, end)
    before = torch.where(end > 0, paths.gather(1, (end - 1).clamp(min=0)), NEVER)
    each = -torch.logaddexp(last, before).squeeze(1)
    each = torch.where(each > -NEVER / 2, 0.0 if zero_infinity else torch.inf, each)
    if reduction == "mean":
        each = each / lengths.clamp(min=1)
    return reduced(each, reduction)


def _lengths(given: Any, rows: int) -> Tensor:
    found = given if isinstance(given, Tensor) else torch.tensor(given)
    return found.long().reshape(-1).expand(rows)


def _apart(targets: Tensor, lengths: Tensor) -> Tensor:
    """Targets one after the other as rows."""
    if of_a_run(lengths):
        raise Unsupported(
            "ctc_loss with targets in a row, whose lengths only a run has: give them as [N, S], "
            "padded"
        )
    sizes = known(torch.Tensor.tolist, lengths)
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return torch.stack(
        [
            F.pad(targets[start : start + size], (0, max(sizes) - size))
            for start, size in zip(starts, sizes, strict=True)
        ]
    )


@replaces(F.multi_margin_loss)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    right = input.gather(1, target.unsqueeze(1))
    each = F.relu(margin - right + input) ** p
    if weight is not None:
        each = each * weight[target].unsqueeze(1)
    other = torch.arange(input.shape[1]) != target.unsqueeze(1)
    return reduced(torch.where(other, each, 0.0).sum(1) / input.shape[1], reduction)


@replaces(F.multilabel_margin_loss)
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Classes of a row stand in its target, up to the first -1."""
    rows, classes = (input, target) if input.dim() == 2 else (input[None], target[None])
    listed = (classes < 0).to(torch.float32).cumsum(1) == 0
    named = torch.where(listed, classes, 0)
    right = rows.gather(1, named).unsqueeze(2)
    among = (named.unsqueeze(2) == torch.arange(rows.shape[1])) & listed.unsqueeze(2)
    other = ~among.any(1, keepdim=True) & listed.unsqueeze(2)
    each = torch.where(other, F.relu(1 - right + rows.unsqueeze(1)), 0.0)
    total = each.sum((1, 2)) / rows.shape[1]
    return reduced(total if input.dim() == 2 else total[0], reduction)


@replaces(torch.pdist)
def pdist(input: Tensor, p: float = 2) -> Tensor:
    """Of each pair of rows once."""
    i, j = torch.triu_indices(len(input), len(input), 1)
    return torch.linalg.vector_norm(input[i] - input[j], p, -1)


@replaces(torch.cov, Tensor.cov)
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    if fweights is not None or aweights is not None:
        raise Unsupported("cov with weights: write the weighted product out")
    rows = input.reshape(-1, input.shape[-1]) if input.dim() else input.reshape(1, 1)
    apart = rows - rows.mean(1, keepdim=True)
    return (apart @ apart.T / (rows.shape[1] - correction)).squeeze()


@replaces(torch.corrcoef, Tensor.corrcoef)
def corrcoef(input: Tensor) -> Tensor:
    products = cov(input)
    if not products.dim():
        return products / products
    spread = products.diagonal().sqrt()
    return products / spread / spread.unsqueeze(1)
