"""Recurrent networks: classifiers of sequences and a language model."""

from __future__ import annotations

import functools
from typing import Any

from bench.workloads.parts import classifier_loss, labelled
from bench.workloads.registry import Program, workload

VOCABULARY = 1000


@functools.cache
def sequence_classifier(lib: Any) -> Any:
    """The class of a network that reads a sequence and names a class at its end."""
    nn = lib.nn

    class SequenceClassifier(nn.Module):
        def __init__(self, cell: str) -> None:
            super().__init__()
            self.recurrent = getattr(nn, cell)(32, 64, batch_first=True)
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.recurrent(x)[0][:, -1])

    return SequenceClassifier


def classifier(lib: Any, cell: str) -> Program:
    """A classifier in training with Adam."""
    model = sequence_classifier(lib)(cell)
    return Program(
        classifier_loss(lib, model),
        lambda batch, length: labelled(lib, lib.randn(batch, length, 32), 10),
        lib.optim.Adam(model.parameters(), lr=1e-3),
    )


@workload("lstm", batch=32, extent=24)
def lstm(lib: Any) -> Program:
    """A one-layer LSTM classifier, 32 sequences of 24 steps, 64 wide, training with Adam."""
    return classifier(lib, "LSTM")


@workload("gru", batch=32, extent=24)
def gru(lib: Any) -> Program:
    """A one-layer GRU classifier, 32 sequences of 24 steps, 64 wide, training with Adam."""
    return classifier(lib, "GRU")


@functools.cache
def language_model(lib: Any) -> Any:
    """The class of a language model: embedding, LSTM, a score for each word."""
    nn = lib.nn

    class LanguageModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, 128)
            self.recurrent = nn.LSTM(128, 128, batch_first=True)
            self.head = nn.Linear(128, VOCABULARY)

        def forward(self, words: Any) -> Any:
            return self.head(self.recurrent(self.embedding(words))[0])

    return LanguageModel


@workload("lstm-lm", batch=16, extent=32)
def lstm_language_model(lib: Any) -> Program:
    """An LSTM language model, 16 sequences of 32 words, 128 wide, 1000 words, training with Adam."""
    model, criterion = language_model(lib)(), lib.nn.CrossEntropyLoss()

    def loss(words: Any, following: Any) -> Any:
        return criterion(model(words).flatten(0, 1), following.flatten())

    def draw(batch: int, length: int) -> tuple[Any, Any]:
        words = lib.randint(0, VOCABULARY, (batch, length + 1))
        return words[:, :-1], words[:, 1:]

    return Program(loss, draw, lib.optim.Adam(model.parameters(), lr=1e-3))
