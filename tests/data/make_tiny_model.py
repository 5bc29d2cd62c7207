"""Makes ``tests/data/tiny-model``: a small BERT that tests of the command line run with.

The weights are random (fixed seed), but made so that near-duplicate search finds something: a
vector is hardly more than the mean of its words, weighted by how rare they are. Texts with the same
words lie close together; that a parcel is an order, it does not know.

Run it from the root of the project: ``python tests/data/make_tiny_model.py``.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import torch
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig, BertModel, BertTokenizer

HERE = Path(__file__).parent
FOLDER = HERE / "tiny-model"
QUESTIONS = HERE.parent.parent / "sample_data" / "questions.csv"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SEED = 20240611
MAX_TOKENS = 64
WORDS = 1500


def main() -> None:
    """Write the folder."""
    counts = _count_words()
    vocabulary = _vocabulary(counts)
    tokenizer = BertTokenizer(vocab=vocabulary, model_max_length=MAX_TOKENS)
    tokenizer.save_pretrained(str(FOLDER))
    _make_model(vocabulary, counts).save_pretrained(str(FOLDER))
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": f"{number}_{kind}" if number else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    _write_json("modules.json", modules)
    _write_json("sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    _write_json("1_Pooling/config.json", pooling)


def _count_words() -> Counter[str]:
    """Words and punctuation marks of the sample questions, as BERT splits them."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        texts = [row["question"] for row in csv.DictReader(file)]
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    return Counter(
        word
        for text in texts
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )


def _vocabulary(counts: Counter[str]) -> dict[str, int]:
    """Every character, alone and inside a word, then the most frequent words."""
    characters = sorted(set("".join(counts)))
    pieces = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    # Ties go by the alphabet: the trainer of the library breaks them differently in each run.
    words = sorted(counts, key=lambda word: (-counts[word], word))
    pieces += [word for word in words if len(word) > 1][: WORDS - len(pieces)]
    return {piece: number for number, piece in enumerate(pieces)}


def _make_model(vocabulary: dict[str, int], counts: Counter[str]) -> BertModel:
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        # As large as the variance of a word, so that small vectors stay small.
        layer_norm_eps=1.0,
    )
    model = BertModel(config)
    total = counts.total()
    with torch.no_grad():
        tables = model.embeddings
        for piece, number in vocabulary.items():
            # The rarer, the more it says (Arora et al. 2017); marks and special tokens say little.
            says = 0.02 / (0.02 + counts[piece] / total) if piece.isalnum() else 0.1
            tables.word_embeddings.weight[number] = torch.randn(32) * says
        tables.position_embeddings.weight.zero_()
        tables.token_type_embeddings.weight.zero_()
    return model


def _write_json(name: str, content: object) -> None:
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
