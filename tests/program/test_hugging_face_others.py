"""More of the models of transformers: each says something that the first three do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.program.helpers import repeated
from tests.program.models import seeded
from worker.program import capture_training, training_state

transformers = pytest.importorskip("transformers")

TEXT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
}
GROUPED = TEXT | {"num_key_value_heads": 2}
IMAGE = {k: v for k, v in TEXT.items() if k not in ("vocab_size", "max_position_embeddings")}
BART = {
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "dropout": 0.0,
}


def words() -> dict:
    ids = torch.randint(3, 40, (3, 7))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}


def pictures() -> dict:
    return {"pixel_values": torch.randn(2, 3, 16, 16), "labels": torch.tensor([0, 1])}


def sounds() -> dict:
    return {"input_values": torch.randn(2, 200), "labels": torch.tensor([0, 1])}


def spoken() -> dict:
    return {"input_features": torch.randn(2, 8, 20), "labels": torch.randint(3, 40, (2, 7))}


MODELS = {
    # a window that slides
    "Mistral": ("MistralForCausalLM", GROUPED | {"sliding_window": 4}, words),
    # norms of queries and keys
    "Qwen3": ("Qwen3ForCausalLM", GROUPED | {"head_dim": 8}, words),
    # logits held down by a tanh
    "Gemma2": ("Gemma2ForCausalLM", GROUPED | {"head_dim": 8}, words),
    # what the rotation leaves alone has no elements
    "Phi3": ("Phi3ForCausalLM", GROUPED | {"pad_token_id": 0, "eos_token_id": 1}, words),
    # ALiBi
    "Bloom": ("BloomForCausalLM", {"vocab_size": 40, "hidden_size": 16, "n_head": 4}, words),
    # experts, whose default implementation looks which rows they have; captured as one batch
    "Mixtral": ("MixtralForCausalLM", GROUPED | {"num_local_experts": 4}, words),
    # layers that Python skips by chance, here never
    "OPT": (
        "OPTForCausalLM",
        {k: v for k, v in TEXT.items() if k != "intermediate_size"}
        | {"ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.0, "layerdrop": 0.0},
        words,
    ),
    "Bart": ("BartForConditionalGeneration", BART | {"max_position_embeddings": 32}, words),
    # distances in buckets
    "T5": (
        "T5ForConditionalGeneration",
        {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 4}
        | {"decoder_start_token_id": 0, "dropout_rate": 0.0},
        words,
    ),
    "DeBERTa": (
        "DebertaV2ForMaskedLM",
        TEXT | {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]},
        words,
    ),
    "Whisper": (
        "WhisperForConditionalGeneration",
        BART
        | {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 32}
        | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
        spoken,
    ),
    # a state space instead of attention
    "Mamba": (
        "MambaForCausalLM",
        {"vocab_size": 40, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 1},
        words,
    ),
    "ViT": ("ViTForImageClassification", IMAGE | {"image_size": 16, "patch_size": 8}, pictures),
    # attention in windows that shift
    "Swin": (
        "SwinForImageClassification",
        {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [2], "num_heads": [2]}
        | {"window_size": 4, "drop_path_rate": 0.0},
        pictures,
    ),
    "ConvNeXt": (
        "ConvNextForImageClassification",
        {"num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1], "patch_size": 2},
        pictures,
    ),
    "wav2vec 2": (
        "Wav2Vec2ForSequenceClassification",
        IMAGE
        | {"conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3)}
        | {"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 8}
        | {"num_conv_pos_embedding_groups": 4, "apply_spec_augment": False, "layerdrop": 0.0},
        sounds,
    ),
}


def made(kind: str, options: dict) -> nn.Module:
    """The model in training, with nothing dropped, which would be another sequence than torch's."""
    model = getattr(transformers, kind)
    module = model(model.config_class(**options))
    module.config.use_cache = False
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return module.train()


@pytest.mark.filterwarnings("ignore")  # the library's own, of what it has not installed
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_transformers_trains_as_in_pytorch(name):
    """Protects users of transformers: each model as it is, with its own loss; every loss is plain
    PyTorch's, and native code has the interpreter's bits."""
    kind, options, rows = MODELS[name]
    module, batch = seeded(1, lambda: made(kind, options)), seeded(2, rows)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    program = capture_training(module, None, optimizer, batch)
    state, ours, plain = training_state(module, optimizer), [], []
    repeated(program, state, list(batch.values()))
    for _ in range(3):
        state, (found,) = program.run(state, list(batch.values()))
        ours.append(found.item())
        optimizer.zero_grad()
        loss = module(**batch).loss
        loss.backward()
        optimizer.step()
        plain.append(loss.item())
    assert plain[-1] < plain[0]
    assert ours == pytest.approx(plain, rel=1e-4)
