"""Makes tiny checkpoints with random weights, one for each supported architecture.

Width 32, 2 layers, 4 heads, a tokenizer learned from a few lines: real files in the real formats,
only small. The weights are spread wider than at the start of a training, so that texts that differ
get vectors that differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import models, normalizers, pre_tokenizers, trainers

WIDTH = 32
POSITIONS = 64
"""Tokens that each model has positions for."""

_LINES = (
    "How do I wash my waterproof jacket, and how long is the guarantee?",
    "The parcel has not arrived yet; where is it? I ordered it 14 days ago!",
    "Can I send back boots that are too small, or swap them for a larger size?",
    "パスワードを忘れました。どうすればいいですか。",
    "كيف يمكنني تغيير كلمة المرور الخاصة بي؟",
    "Où est mon colis ? Grüße aus Österreich. Пароль не работает.",
    "ΟΔΟΣ ΣΙΣΥΦΟΣ, οδός Σίσυφος; İstanbul ISPARTA ıssız",
    "search_query: search_document: query: passage: clustering: represent this",
)

_BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_MPNET_SPECIAL = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]

FAMILIES = ("bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "modernbert")


@dataclass(frozen=True)
class Recipe:
    """What a tiny model is made of."""

    family: str = "bert"
    """One of ``FAMILIES``."""
    pooling: tuple[str, ...] = ("mean",)
    """Pooling modes as sentence-transformers names them."""
    dense: tuple[str, ...] = ()
    """Activations of the Dense layers, such as ``Tanh``."""
    normalize: bool = True
    """Whether a Normalize module comes last."""
    max_seq_length: int | None = 24
    """Tokens per text; None: left to the tokenizer."""
    lower_case: bool = False
    """``do_lower_case`` of the Transformer module."""
    tokenizer_lower_case: bool = True
    """Whether the tokenizer itself lower-cases (WordPiece ones)."""
    include_prompt: bool = True
    """Whether the tokens of the prompt are pooled."""
    prompts: tuple[tuple[str, str], ...] = ()
    """Named prompts."""
    default_prompt: str | None = None
    """Name of the prompt that is used unless another is asked for."""
    legacy: bool = False
    """Whether the configuration files are in the format of sentence-transformers 2."""


def make_model(recipe: Recipe, folder: Path) -> None:
    """Write a model in the layout of sentence-transformers."""
    plain = folder.with_name(f"{folder.name}-plain")
    make_plain(recipe, plain)
    torch.manual_seed(2)
    body = Transformer(
        str(plain), max_seq_length=recipe.max_seq_length, do_lower_case=recipe.lower_case
    )
    pooling = Pooling(WIDTH, recipe.pooling, include_prompt=recipe.include_prompt)
    modules: list[torch.nn.Module] = [body, pooling]
    width = pooling.get_embedding_dimension()
    for number, activation in enumerate(recipe.dense):
        modules.append(Dense(width, 20 + number, True, getattr(torch.nn, activation)()))
        width = 20 + number
    if recipe.normalize:
        modules.append(Normalize())
    model = SentenceTransformer(
        modules=modules,
        prompts=dict(recipe.prompts) or None,
        default_prompt_name=recipe.default_prompt,
        device="cpu",
    )
    model.save(str(folder), create_model_card=False)
    if recipe.lower_case:
        # Saving bakes the case into the tokenizer; on the hub it is told by the flag alone.
        (folder / "tokenizer.json").write_bytes((plain / "tokenizer.json").read_bytes())
    if recipe.legacy:
        _write_legacy_configs(recipe, folder)


def make_plain(recipe: Recipe, folder: Path) -> None:
    """Write a plain Hugging Face checkpoint: configuration, tokenizer and weights."""
    tokenizer = _make_tokenizer(recipe)
    tokenizer.save_pretrained(str(folder))
    torch.manual_seed(1)
    _make_body(recipe.family, tokenizer).save_pretrained(str(folder))


def _write_legacy_configs(recipe: Recipe, folder: Path) -> None:
    """Turn the configuration files into those that sentence-transformers 2 wrote."""
    settings = {"max_seq_length": recipe.max_seq_length, "do_lower_case": recipe.lower_case}
    write_json(folder / "sentence_bert_config.json", settings)
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        module["type"] = f"sentence_transformers.models.{module['type'].rpartition('.')[2]}"
    write_json(folder / "modules.json", modules)
    names = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens"}
    flags = {
        f"pooling_mode_{names.get(mode, mode)}": mode in recipe.pooling
        for mode in ("cls", "mean", "max", "mean_sqrt_len_tokens")
    }
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH, **flags})


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _make_tokenizer(recipe: Recipe) -> Any:
    limits = {"model_max_length": POSITIONS}
    if recipe.family in ("bert", "distilbert"):
        case = {"do_lower_case": recipe.tokenizer_lower_case}
        bert = recipe.family == "bert"
        kind = transformers.BertTokenizer if bert else transformers.DistilBertTokenizer
        return kind(vocab=_word_pieces(_BERT_SPECIAL, **case), **case, **limits)
    if recipe.family == "mpnet":
        case = {"do_lower_case": recipe.tokenizer_lower_case}
        vocab = _word_pieces(_MPNET_SPECIAL, **case)
        return transformers.MPNetTokenizer(vocab=vocab, **case, **limits)
    if recipe.family == "xlm-roberta":
        return transformers.XLMRobertaTokenizer(vocab=_unigrams(), **limits)
    if recipe.family == "roberta":
        vocab, merges = _byte_pairs(_ROBERTA_SPECIAL)
        return transformers.RobertaTokenizer(vocab=vocab, merges=merges, **limits)
    return _modernbert_tokenizer(limits)


def _word_pieces(special: list[str], do_lower_case: bool) -> dict[str, int]:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=do_lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=special, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(_LINES, trainer)
    return tokenizer.get_vocab()


def _unigrams() -> list[tuple[str, float]]:
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES, trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    return [*((str(piece), float(score)) for piece, score in pieces), ("<mask>", 0.0)]


def _byte_pairs(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]


def _modernbert_tokenizer(limits: dict[str, int]) -> Any:
    vocab, merges = _byte_pairs(_BERT_SPECIAL)
    backend = tokenizers.Tokenizer(models.BPE(vocab, merges))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = dict(zip(names, _BERT_SPECIAL, strict=True))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **special, **limits)


def _make_body(family: str, tokenizer: Any) -> transformers.PreTrainedModel:
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    usual = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "initializer_range": 0.2,
    }
    # These count positions from the one after the padding index.
    offset = {"max_position_embeddings": POSITIONS + 2}
    plain = {"max_position_embeddings": POSITIONS}
    if family == "bert":
        return transformers.BertModel(transformers.BertConfig(**sizes, **usual, **plain))
    if family == "roberta":
        return transformers.RobertaModel(transformers.RobertaConfig(**sizes, **usual, **offset))
    if family == "xlm-roberta":
        config = transformers.XLMRobertaConfig(**sizes, **usual, **offset)
        return transformers.XLMRobertaModel(config)
    if family == "mpnet":
        return transformers.MPNetModel(transformers.MPNetConfig(**sizes, **usual, **offset))
    if family == "distilbert":
        config = transformers.DistilBertConfig(
            **sizes, **plain, dim=WIDTH, hidden_dim=48, n_layers=2, n_heads=4, initializer_range=0.2
        )
        return transformers.DistilBertModel(config)
    config = transformers.ModernBertConfig(
        **sizes, **usual, **plain, local_attention=8, global_attn_every_n_layers=2,
        cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    return transformers.ModernBertModel(config)


def random_texts(rng: Any, count: int, most_words: int) -> Iterator[str]:
    """Texts of random length, made of the words of the training lines and of strangers."""
    words = [*" ".join(_LINES).split(), "zebra", "Q", "🙂", "你好", "naïve", "\u200bzero", "x" * 9]
    for _ in range(count):
        yield " ".join(rng.choice(words, size=rng.integers(0, most_words + 1)))
