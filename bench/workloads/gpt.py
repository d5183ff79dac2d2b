"""A small GPT in the manner of nanoGPT: pre-norm blocks of causal attention and a GELU network, head tied to the embedding."""

from __future__ import annotations

import functools
import math
from typing import Any

from bench.workloads.registry import Program, workload

LAYERS, WIDTH, HEADS, LENGTH, VOCABULARY = 4, 192, 6, 128, 65


@functools.cache
def attention_class(lib: Any) -> Any:
    """The class of causal self-attention, by the library's function or spelled out."""
    nn, functional = lib.nn, lib.nn.functional

    class CausalAttention(nn.Module):
        def __init__(self, manual: bool, dropout: float) -> None:
            super().__init__()
            self.manual = manual
            self.inputs = nn.Linear(WIDTH, 3 * WIDTH)
            self.output = nn.Linear(WIDTH, WIDTH)
            self.dropout = nn.Dropout(dropout)
            self.output_dropout = nn.Dropout(dropout)
            mask = lib.tril(lib.ones(LENGTH, LENGTH)).view(1, 1, LENGTH, LENGTH)
            self.register_buffer("mask", mask)

        def forward(self, x: Any) -> Any:
            batch, length, width = x.shape
            heads = (batch, length, HEADS, width // HEADS)
            query, key, value = (
                part.view(heads).transpose(1, 2) for part in self.inputs(x).split(width, 2)
            )  # (batch, heads, length, width / heads) each
            y = self.attend(query, key, value)
            return self.output_dropout(self.output(y.transpose(1, 2).reshape(x.shape)))

        def attend(self, query: Any, key: Any, value: Any) -> Any:
            if not self.manual:
                return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            length = query.shape[2]
            scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
            scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
            return self.dropout(functional.softmax(scores, -1)) @ value

    return CausalAttention


@functools.cache
def block_class(lib: Any) -> Any:
    """The class of a transformer block."""
    nn, attention = lib.nn, attention_class(lib)

    class Block(nn.Module):
        def __init__(self, manual: bool, dropout: float) -> None:
            super().__init__()
            self.attention_norm = nn.LayerNorm(WIDTH)
            self.attention = attention(manual, dropout)
            self.network_norm = nn.LayerNorm(WIDTH)
            self.network = nn.Sequential(
                nn.Linear(WIDTH, 4 * WIDTH),
                nn.GELU(),
                nn.Linear(4 * WIDTH, WIDTH),
                nn.Dropout(dropout),
            )

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.attention_norm(x))
            return x + self.network(self.network_norm(x))

    return Block


@functools.cache
def gpt_class(lib: Any) -> Any:
    """The class of the whole model: tokens to the loss of predicting the next ones."""
    nn, functional, block = lib.nn, lib.nn.functional, block_class(lib)

    class GPT(nn.Module):
        def __init__(self, manual: bool, dropout: float) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.places = nn.Embedding(LENGTH, WIDTH)
            self.dropout = nn.Dropout(dropout)
            self.blocks = nn.ModuleList([block(manual, dropout) for _ in range(LAYERS)])
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
            self.head.weight = self.tokens.weight
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.normal_(parameter, 0.0, 0.02)

        def forward(self, tokens: Any, following: Any) -> Any:
            places = lib.arange(tokens.shape[1])
            x = self.dropout(self.tokens(tokens) + self.places(places))
            for block in self.blocks:
                x = block(x)
            scores = self.head(self.norm(x))
            return functional.cross_entropy(scores.view(-1, VOCABULARY), following.reshape(-1))

    return GPT


def training(lib: Any, manual: bool, dropout: float) -> Program:
    """Training with AdamW, decay on the matrices alone."""
    model = gpt_class(lib)(manual, dropout)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [dict(params=matrices, weight_decay=0.1), dict(params=others, weight_decay=0.0)]

    def draw(batch: int, length: int) -> tuple[Any, Any]:
        tokens = lib.randint(0, VOCABULARY, (batch, length + 1))
        return tokens[:, :-1], tokens[:, 1:]

    return Program(model, draw, lib.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99)))


@workload("gpt-train", batch=8, extent=LENGTH)
def gpt_training(lib: Any) -> Program:
    """A GPT of 4 layers, 192 wide, 6 heads, 8 sequences of 128 tokens, training with AdamW."""
    return training(lib, manual=False, dropout=0.0)


@workload("gpt-manual-attention", batch=8, extent=LENGTH)
def gpt_manual_attention(lib: Any) -> Program:
    """The same GPT with attention spelled out (mask, softmax) and dropout of 0.1."""
    return training(lib, manual=True, dropout=0.1)
