"""Models of transformers and adapters of peft, as users write them, beside plain PyTorch."""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.models import hugging_face
from tests.program.helpers import assert_as_in_pytorch, repeated, same
from tests.program.models import seeded
from worker.commit import tensor_item
from worker.exact.backends import BACKENDS
from worker.program import (
    Kind,
    Source,
    Unsupported,
    capture_inference,
    capture_training,
    inference_state,
    training_state,
)

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

STEPS, WORDS, LENGTH, ROWS = 25, 40, 8, 3
MODELS = {
    kind: partial(
        hugging_face,
        kind,
        vocabulary=WORDS,
        length=LENGTH,
        width=16,
        inner=24,
        layers=1,
        heads=4,
    )
    for kind in ("gpt2", "llama", "bert")
}
gpt2, llama = MODELS["gpt2"], MODELS["llama"]


def batch(padded: bool = True, rows: int = ROWS) -> dict[str, Tensor]:
    """What a collator gives: rows of different lengths, padding neither seen nor asked for."""
    ids = torch.randint(1, WORDS, (rows, LENGTH))
    if not padded:
        return {"input_ids": ids, "labels": ids.clone()}
    mask = (torch.arange(LENGTH) < torch.tensor([[LENGTH], [5], [3]])).long()
    labels = torch.where(mask.bool(), ids, -100)
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels}


def adamw(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=3e-3)


class Course:
    """A module trained exactly and in plain PyTorch, on one batch."""

    def __init__(self, module: nn.Module, given: dict[str, Tensor], steps: int = STEPS) -> None:
        self.module, rows = module, list(given.values())
        optimizer = adamw(module)
        self.program = capture_training(module, None, optimizer, given)
        self.states = [training_state(module, optimizer)]
        self.ours: list[float] = []
        self.plain: list[float] = []
        for _ in range(steps):
            after, (found,) = self.program.run(self.states[-1], rows)
            self.states.append(after)
            self.ours.append(found.item())
            optimizer.zero_grad()
            loss = module(**given).loss
            loss.backward()
            optimizer.step()
            self.plain.append(loss.item())
        self.rows = rows

    def named(self, state: list[Tensor]) -> dict[str, Tensor]:
        return dict(zip(self.program.state_names, state, strict=True))


@pytest.mark.parametrize(
    ("name", "padded"), [("gpt2", True), ("gpt2", False), ("llama", True), ("bert", True)]
)
def test_a_model_of_transformers_trains_as_in_pytorch(name, padded):
    """Protects users of transformers: the model as it is, its own loss, its default attention
    (sdpa), with and without padding; every loss is plain PyTorch's."""
    module = seeded(1, MODELS[name])
    assert module.config._attn_implementation == "sdpa"
    course = Course(module, seeded(2, lambda: batch(padded)), STEPS if padded else 3)
    assert course.ours == pytest.approx(course.plain, rel=5e-4)
    if padded:
        assert course.plain[-1] < 0.9 * course.plain[0]
        repeated(course.program, course.states[-1], course.rows, BACKENDS)


def test_attention_written_out_trains_too():
    """Protects users who ask for eager attention."""
    module = seeded(1, lambda: gpt2(attn_implementation="eager"))
    course = Course(module, seeded(2, batch), 3)
    assert course.ours == pytest.approx(course.plain, rel=1e-3)


def test_a_loss_of_ones_own_takes_the_output_and_the_batch():
    """Protects distillation: the loss function sees the model's output and all of the batch."""
    module, given = seeded(1, llama), seeded(2, lambda: batch(False))
    optimizer = adamw(module)

    def loss(outputs: Any, rows: dict[str, Tensor]) -> Tensor:
        picked = outputs.logits.gather(-1, rows["labels"].unsqueeze(-1))
        return (outputs.logits.logsumexp(-1) - picked.squeeze(-1)).mean()

    program = capture_training(module, loss, optimizer, given)
    (found,) = program.run(training_state(module, optimizer), list(given.values()))[1]
    assert found.item() == pytest.approx(loss(module(**given), given).item(), rel=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_transformers_answers_as_in_pytorch(name):
    """Protects inference: logits within a thousandth, and a row's bits do not depend on the rows
    beside it, on its place among them, or on how long they are."""
    module = seeded(1, lambda: MODELS[name](use_cache=False)).eval()
    given = seeded(2, batch)
    del given["labels"]
    program, state = capture_inference(module, given), inference_state(module)
    assert program.report_count == 1
    rows = list(given.values())
    (found,) = program.run(state, rows)[1]
    assert_as_in_pytorch(found, module, **given)
    repeated(program, state, rows, BACKENDS)

    def by_row(given: list[Tensor]) -> Tensor:
        return program.run(state, given)[1][0].view(ROWS, -1)

    together = by_row(rows)
    for row in range(ROWS):
        alone = [t[row : row + 1].expand(ROWS, LENGTH).contiguous() for t in rows]
        assert same([by_row(alone)], [together[row : row + 1].expand(ROWS, -1)])
    assert same([by_row([t.roll(1, 0) for t in rows]).roll(-1, 0)], [together])


def test_a_cache_that_no_program_reports_is_refused_with_what_to_set():
    """Protects users from a report that they did not ask for: a cache is no tensor."""
    given = {"input_ids": seeded(2, batch)["input_ids"]}
    with pytest.raises(Unsupported, match=r"a DynamicCache; .* use_cache=False"):
        capture_inference(seeded(1, gpt2).eval(), given)


def test_names_and_losses_that_make_no_step_are_refused():
    """Protects users: what is missing, or is no tensor, is named with what to give instead."""
    module, given = seeded(1, gpt2), seeded(2, batch)
    optimizer = adamw(module)
    asked = {k: v for k, v in given.items() if k != "labels"}
    with pytest.raises(ValueError, match=r"without a loss: give a loss function.*labels"):
        capture_training(module, None, optimizer, asked)
    with pytest.raises(ValueError, match="'use_cache' is a bool; every entry must be a tensor"):
        capture_training(module, None, optimizer, {**given, "use_cache": False})
    with pytest.raises(ValueError, match="first axis of each must count the same rows"):
        capture_training(module, None, optimizer, {**given, "labels": given["labels"][:1]})


# --- adapters ---


def adapted() -> nn.Module:
    config = peft.LoraConfig(r=2, lora_alpha=4, lora_dropout=0.0, target_modules=["c_attn"])
    return peft.get_peft_model(gpt2(), config)


@cache
def tuned() -> Course:
    module = seeded(1, adapted)
    with torch.no_grad():  # peft starts with an adapter that does nothing
        for name, p in module.named_parameters():
            if "lora_B" in name:
                p.copy_(seeded(5, lambda p=p: 0.1 * torch.randn_like(p)))
    return Course(module, seeded(2, batch))


def test_only_adapters_train():
    """Protects fine-tuning: the loss is peft's own, and what is frozen keeps every bit."""
    course = tuned()
    assert course.plain[-1] < course.plain[0]
    assert course.ours == pytest.approx(course.plain, rel=5e-4)
    first, last = (course.named(course.states[k]) for k in (0, -1))
    for name, parameter in course.module.named_parameters():
        assert same([first[name]], [last[name]]) == ("lora" not in name), name
        if "lora" in name:
            torch.testing.assert_close(
                last[name].view(parameter.shape), parameter.detach(), rtol=5e-2, atol=5e-3
            )
    repeated(course.program, course.states[-1], course.rows, BACKENDS)


def test_what_is_frozen_is_committed_once():
    """Protects commitments' cost: a frozen tensor's next state is its source node itself, so its
    root never changes, and the optimizer keeps tensors of adapters alone."""
    course = tuned()
    program = course.program
    slots = [n for n in program.state_names if n.startswith("optimizer.")]
    assert slots and all("lora" in n for n in slots)
    moving = 0
    for position, name in enumerate(program.state_names):
        node = program.nodes[program.outputs[position]]
        itself = (node.kind, node.fn) == (Kind.SOURCE, Source.STATE)
        assert itself == ("lora" not in name), name
        roots = {tensor_item(state[position]) for state in course.states[:3]}
        if itself:
            assert node.attributes == (position,) and len(roots) == 1
        else:
            assert len(roots) == 3
            moving += state_bytes(course.states[0][position])
    assert moving < 0.2 * sum(state_bytes(t) for t in course.states[0])


def state_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def test_a_trained_adapter_can_be_merged():
    """Protects what the user is left with: the tensors of the last state go into the model by name,
    and the merged model without peft answers as the adapted one."""
    course = tuned()
    module = copy.deepcopy(course.module)
    held = course.named(course.states[-1])
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(held[name].view(p.shape))
        given = {k: t for k, t in seeded(2, batch).items() if k != "labels"}
        adapted_logits = module(**given).logits
        merged = module.merge_and_unload()
        assert not any("lora" in name for name, _ in merged.named_parameters())
        torch.testing.assert_close(merged(**given).logits, adapted_logits, rtol=1e-4, atol=1e-4)
        before = seeded(1, gpt2)(**given).logits
    assert float((before - adapted_logits).abs().max()) > 1e-2, "the adapter does something"


def test_adapters_on_a_plain_module():
    """Protects peft without transformers: a perceptron whose first layer has an adapter."""
    plain = seeded(1, lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    config = peft.LoraConfig(r=2, target_modules=["0"], modules_to_save=["2"], lora_dropout=0.0)
    module = seeded(2, lambda: peft.get_peft_model(plain, config))
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    x, y = seeded(3, lambda: (torch.randn(5, 6), torch.randint(0, 3, (5,))))
    program = capture_training(module, nn.functional.cross_entropy, optimizer, [x, y])
    state = training_state(module, optimizer)
    for _ in range(10):
        state, (found,) = program.run(state, [x, y])
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x), y)
        loss.backward()
        optimizer.step()
        assert found.item() == pytest.approx(loss.item(), rel=2e-3)


# --- more of them, as they come from a config ---


def distilbert() -> nn.Module:
    config = transformers.DistilBertConfig(
        vocab_size=WORDS, max_position_embeddings=LENGTH, dim=16, n_layers=1, n_heads=2,
        hidden_dim=24, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0, num_labels=3,
    )  # fmt: skip
    return transformers.DistilBertForSequenceClassification(config)


def t5() -> nn.Module:
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, dropout_rate=0.0,
        decoder_start_token_id=0, use_cache=False,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


@pytest.mark.parametrize(("make", "labels"), [(distilbert, (3,)), (t5, (3, 5))])
def test_other_models_of_transformers_train_too(make, labels):
    """Protects users of other models: a classifier, and an encoder with a decoder, whose attention
    has biases by distance and a mask of each kind."""
    given = seeded(2, batch) | {"labels": seeded(3, lambda: torch.randint(1, 3, labels))}
    course = Course(seeded(1, make), given, 3)
    assert course.ours == pytest.approx(course.plain, rel=1e-4)
    repeated(course.program, course.states[-1], course.rows)
