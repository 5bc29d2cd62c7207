"""What a model has to beat: tf-idf, averaged word vectors, and its own weights pooled otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import InputError
from sbert_cluster.options import EncodeOptions
from sbert_cluster.progress import Progress
from sbert_cluster.types import Vectors

_MOST_WORDS = 8_192
"""Words that tf-idf counts; the most frequent ones."""


def tf_idf(texts: Sequence[str]) -> Vectors:
    """Words weighted by how rare they are in these texts. Shape: (n, words), float32."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    maker = TfidfVectorizer(max_features=_MOST_WORDS, tokenizer=_words, token_pattern=None)
    made: Vectors = maker.fit_transform(texts).toarray().astype(np.float32)
    return made


def word_vectors(texts: Sequence[str], path: Path) -> Vectors:
    """The mean of each text's word vectors (section 4.1: "Avg. GloVe embeddings").

    Args:
        texts: n texts; a text without any known word gets zeros.
        path: A text file in the format of GloVe or word2vec: a word and its numbers a line.

    Returns:
        float32[n, d].

    Raises:
        InputError: If the file holds no word of these texts.
    """
    words = [_words(text) for text in texts]
    wanted = {word for text in words for word in text}
    table = _read(path, wanted)
    if not table:
        raise InputError(f"{path} holds no word of these texts", "Is it a GloVe text file?")
    width = len(next(iter(table.values())))
    made = np.zeros((len(texts), width), np.float32)
    for row, text in enumerate(words):
        known = [table[word] for word in text if word in table]
        if known:
            made[row] = np.mean(known, axis=0)
    return made


def _words(text: str) -> list[str]:
    import re

    return re.findall(r"\w+|[^\w\s]", text.lower())


def _read(path: Path, wanted: set[str]) -> dict[str, Vectors]:
    table: dict[str, Vectors] = {}
    width = 0
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                word, *numbers = line.rstrip().split(" ")
                # The first line of word2vec's format tells sizes.
                if word not in wanted or len(numbers) < 2:
                    continue
                vector = np.array(numbers, np.float32)
                width = width or len(vector)
                if len(vector) == width:
                    table[word] = vector
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", "Give a GloVe text file.") from error
    return table


def pooled_otherwise(
    texts: Sequence[str], options: EncodeOptions, pooling: str, progress: Progress
) -> Vectors:
    """The same weights, pooled by ``mean``, ``max`` or ``cls``, without the layers behind it.

    Section 4.1 of the paper compares "Avg. BERT embeddings" and "BERT CLS-vector" in this way.
    """
    encoder = Encoder.open(replace(options, use_cache=False, dimensions=None))
    checkpoint = encoder.checkpoint
    width = int(checkpoint.config.get("hidden_size", checkpoint.config.get("dim", 0)))
    print_ = replace(checkpoint.fingerprint, pooling=pooling, dimensions=width)
    plain = replace(checkpoint, pooling=(pooling,), dense=(), dimensions=width, fingerprint=print_)
    return Encoder(plain, encoder.options).encode(texts, progress).vectors
