"""What is captured now: operators from the registries, models and optimizers by running them.

    python -m benchmarks.captured [--save] [NAME ...]

prints the part of docs/models.md between its two markers; --save writes it there. Each model and
each optimizer takes two steps as a program and two in PyTorch: both losses must be equal within a
thousandth, and together the parameters' way within a hundredth, else it is not in the list, and
stderr says why; the exit status is 1 where it is a model. Names: of those models alone, and nothing
but their results is printed.
"""

from __future__ import annotations

import argparse
import copy
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.zoo import ZOO, Entry
from worker.program import capture_training, training_state
from worker.program.decompositions import FUNCTIONS, OURS
from worker.program.lower import RULES

DOCUMENT = Path(__file__).parents[1] / "docs" / "models.md"
BEGIN, END = "<!-- python -m benchmarks.captured -->", "<!-- to here -->"
WIDTH = 110

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Apart(AssertionError):
    """A program's step is not PyTorch's."""


def beside_pytorch(entry: Entry, make: MakeOptimizer, seed: int = 1) -> int:
    """Two steps of a model as a program and in PyTorch; returns the program's nodes.

    Raises Apart where losses or parameters are not the same, Unsupported where it is not captured.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module, batch = entry.make(), entry.batch()
    plain = copy.deepcopy(module)
    optimizer = make(module.parameters())
    program = capture_training(module, entry.loss, optimizer, batch)
    state = training_state(module, optimizer)
    first = dict(zip(program.state_names, state, strict=True))
    torchs = make(plain.parameters())
    for _ in range(2):
        state, (found,) = program.run(state, batch)
        torchs.zero_grad()
        loss = entry.loss(plain(*batch[:-1]), batch[-1])
        loss.backward()
        torchs.step()
        if abs(found.item() - loss.item()) > 1e-3 * max(abs(loss.item()), 1e-2):
            raise Apart(f"a loss of {found.item()}, PyTorch's is {loss.item()}")
    last = dict(zip(program.state_names, state, strict=True))
    moved = missed = 0.0
    for name, p in plain.named_parameters():
        if p.requires_grad:
            moved += float((p.detach() - first[name].view(p.shape)).square().sum())
            missed += float((p.detach() - last[name].view(p.shape)).square().sum())
    if missed**0.5 > 1e-2 * moved**0.5:
        raise Apart(f"parameters went {missed**0.5:.2g} astray on a way of {moved**0.5:.2g}")
    return len(program.nodes)


def momentum(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def optimizers() -> dict[str, MakeOptimizer]:
    """All of this PyTorch's, with their defaults but for the rate where one must be given."""
    found: dict[str, MakeOptimizer] = {}
    for name in sorted(torch.optim.__all__):
        kind = getattr(torch.optim, name)
        if isinstance(kind, type) and name not in ("Optimizer", "SparseAdam", "LBFGS"):
            found[name] = kind
    return found


def perceptron() -> Entry:
    """Matrices alone, as Muon asks for."""
    return Entry(
        lambda: nn.Sequential(nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Linear(8, 4, bias=False)),
        lambda: [torch.randn(5, 6), torch.randint(0, 4, (5,))],
        F.cross_entropy,
    )


# what is printed


def wrapped(words: Iterable[str], between: str = ",") -> list[str]:
    """Words with commas between them, in lines."""
    lines, line = [], ""
    listed = list(words)
    for k, word in enumerate(listed):
        word += "" if k == len(listed) - 1 else between
        if line and len(line) + len(word) > WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += word + " "
    return [*lines, line.rstrip()]


def _name(operator: Any) -> str:
    """`aten.add.Tensor` as `add`, `aten._softmax.default` as `softmax`."""
    return str(operator).split(".")[1].strip("_")


def _gradient(name: str) -> bool:
    return name.endswith(("_backward", "_backward_data"))


def operators() -> list[str]:
    """The rules by their modules, then the decompositions and the functions, by theirs."""
    modules: dict[str, set[str]] = {}
    for operator, function in [*RULES.items(), *OURS.items()]:
        modules.setdefault(function.__module__.rsplit(".", 1)[1], set()).add(_name(operator))
    for function, ours in FUNCTIONS.items():
        name = getattr(function, "__name__", str(function)).strip("_")
        modules.setdefault(ours.__module__.rsplit(".", 1)[1], set()).add(name)
    lines = []
    for module, names in sorted(modules.items()):
        listed = sorted(n for n in names if not _gradient(n))
        if listed:
            lines += ["", *wrapped([f"*{module.replace('_', ' ')}*: {listed[0]}", *listed[1:]])]
    return [
        f"{len(RULES)} rules and {len(OURS)} decompositions of operators, and {len(FUNCTIONS)} "
        "functions that are replaced, by the",
        "modules that hold them; gradients are not named. What PyTorch itself makes of these is "
        "captured as well.",
        *lines,
    ]


def models(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Lines of the models that are captured, and of those that are not."""
    good, bad = [], []
    for name in names:
        entry = ZOO[name]
        try:
            beside_pytorch(entry, momentum)
        except Exception as error:  # whatever it is: the model is not captured
            bad.append(f"{name}: {type(error).__name__}: {error}")
        else:
            good.append(f"{name}: {entry.asks}" if entry.asks else name)
    return good, bad


def stepped() -> tuple[list[str], list[str]]:
    """The optimizers that step as in PyTorch, and what is said of those that do not."""
    good, bad = [], []
    for name, make in optimizers().items():
        try:
            beside_pytorch(perceptron(), make)
        except Exception as error:
            bad.append(f"{name}: {type(error).__name__}: {error}")
        else:
            good.append(name)
    return good, bad


def part(lines: list[str], document: str) -> str:
    """The document with these lines between its markers."""
    before, rest = document.split(BEGIN + "\n")
    after = rest.split(END)[1]
    return "\n".join([before + BEGIN, *lines, END]) + after


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.captured")
    parser.add_argument("names", nargs="*", metavar="NAME", help="models: these alone")
    parser.add_argument("--save", action="store_true", help="write docs/models.md")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in ZOO]
    if unknown:
        parser.error(f"no model is called {unknown[0]}; there are {', '.join(ZOO)}")
    warnings.simplefilter("ignore")
    good, bad = models(args.names or ZOO)
    if args.names:
        print("\n".join([*good, *bad]))
        return 1 if bad else 0
    steps, wrong = stepped()
    lines = [
        *operators(),
        "",
        f"**Models** ({len(good)}) of `benchmarks/zoo`, written small; two steps are PyTorch's:",
        *wrapped(good, ";"),
        "",
        f"**Optimizers** ({len(steps)}) of `torch.optim`, by default; two steps are PyTorch's:",
        *wrapped(steps),
    ]
    print("\n".join(lines))
    for line in [*bad, *wrong]:
        print(line, file=sys.stderr)
    if args.save:
        DOCUMENT.write_text(part(lines, DOCUMENT.read_text()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
