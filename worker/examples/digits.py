"""A two-layer perceptron on the handwritten digits that come with scikit-learn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from worker.jobs import TrainingJob, TrainingRecipe


def recipe(hidden: int = 64) -> TrainingRecipe:
    """8x8 images in ten classes; 1347 rows to train on, 450 to test. `digits.toml` names this."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    x, x_test = (torch.tensor(part, dtype=torch.float32) for part in split[:2])
    y, y_test = (torch.tensor(part, dtype=torch.int64) for part in split[2:])

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def evaluate(trained: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            right = (trained(x_test).argmax(1) == y_test).float().mean()
        return {"test accuracy": float(right)}

    return TrainingRecipe(
        module=module,
        loss_fn=F.cross_entropy,
        optimizer=torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9),
        data=[x, y],
        evaluate=evaluate,
    )


def digits(steps: int = 400, segment_steps: int = 50, hidden: int = 64) -> TrainingJob:
    """The same as a job, for the demo and the tests."""
    return TrainingJob(
        **vars(recipe(hidden)), batch_rows=32, steps=steps, segment_steps=segment_steps, seed=2026
    )
