"""Static models: a vector for each token, a text is the average of its tokens' vectors.

Three layouts open: ``StaticEmbedding`` of sentence-transformers, folders of model2vec, and word
vectors as text (GloVe, word2vec). Nothing is computed but a sum, so such a model encodes as fast as
its tokenizer runs; its vectors are not kept in the cache, which would be slower.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sbert_cluster.encoder.bags import Bags
from sbert_cluster.errors import ModelError
from sbert_cluster.types import Vectors

if TYPE_CHECKING:
    import tokenizers
    import torch

    from sbert_cluster.encoder.checkpoint import Checkpoint

ARCHITECTURE = "static"
"""``model_type`` that a static model gets, since its folder names none."""
WORD_VECTORS = (".txt", ".vec")
"""File names that end like this are word vectors as text."""
NO_LIMIT = 1_000_000
"""Tokens of a text that are read where a layout sets no limit."""
MODEL2VEC_LIMIT = 512
"""Tokens that model2vec reads unless its configuration says otherwise."""
_UNKNOWN = "[UNK]"
"""Stands for words that word vectors do not know; its own vector is zero."""


def sums(table: torch.Tensor, bags: Bags) -> torch.Tensor:
    """The summed vectors of the tokens of each text; zero for a text without tokens.

    Args:
        table: float32[vocabulary, d].
        bags: n texts.

    Returns:
        float32[n, d], with the table's graph if it has one.
    """
    import torch

    numbers = torch.from_numpy(bags.numbers)
    starts = torch.from_numpy(bags.starts[:-1])
    # The sum has the direction of the mean, and directions are all that is compared.
    return torch.nn.functional.embedding_bag(numbers, table, starts.to(numbers.dtype), mode="sum")


def averages(table: Vectors, bags: Bags) -> Vectors:
    """Unit vectors of texts.

    Args:
        table: float32[vocabulary, d].
        bags: n texts.

    Returns:
        float32[n, d], rows of norm 1; zero, which is similar to nothing, for a text of which no
        token is known.
    """
    import torch

    vectors = np.empty((len(bags), table.shape[1]), np.float32)
    weights = torch.from_numpy(table)
    with torch.inference_mode():
        for part in bags.parts():
            bag = bags.take(np.arange(part.start, part.stop))
            unit = torch.nn.functional.normalize(sums(weights, bag), dim=-1)
            vectors[part] = unit.numpy()
    return vectors


class StaticBody:
    """The forward pass of a static model: a sum.

    Args:
        checkpoint: The model.

    Raises:
        ModelError: If its table cannot be read.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        import torch

        self._table = torch.from_numpy(load_table(checkpoint))

    def __call__(self, ids: list[list[int]], skipped: int) -> torch.Tensor:
        """Encode one batch.

        Args:
            ids: Token numbers of each text.
            skipped: Leading tokens (a prompt) that take no part.

        Returns:
            Unit vectors, float32. Shape: (len(ids), dimensions).
        """
        import torch

        bags = Bags.of(row[skipped:] for row in ids)
        with torch.inference_mode():
            return torch.nn.functional.normalize(sums(self._table, bags), dim=-1)


def is_word_vectors(root: Path) -> bool:
    """Whether a model is a text file of word vectors."""
    return root.is_file() and root.suffix.lower() in WORD_VECTORS


def is_model2vec(root: Path, config: dict[str, Any]) -> bool:
    """Whether a folder without ``modules.json`` is one of model2vec."""
    safe = (root / "model.safetensors").exists() and (root / "tokenizer.json").exists()
    return safe and config.get("model_type", "model2vec") == "model2vec"


def read_config(place: Path) -> dict[str, Any]:
    """What a static model says of itself; ``max_length`` is set where it has a limit."""
    path = place / "config.json"
    if not place.is_dir() or not path.exists():
        return {}
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {"max_length": MODEL2VEC_LIMIT, **config}


def load_table(checkpoint: Checkpoint) -> Vectors:
    """The vectors of all tokens, with their weights applied.

    Returns:
        float32[vocabulary, d].

    Raises:
        ModelError: If the file holds no such table.
    """
    path = checkpoint.weights[0]
    if is_word_vectors(path):
        return _read_words(path)[1]
    from safetensors.torch import load_file

    tensors = load_file(path)
    if "embedding.weight" in tensors:
        return np.ascontiguousarray(tensors["embedding.weight"].float().numpy())
    table = tensors["embeddings"].float()
    if "mapping" in tensors:
        table = table[tensors["mapping"].long()]
    if "weights" in tensors:
        table = table * tensors["weights"].float()[:, None]
    made: Vectors = np.ascontiguousarray(table.numpy())
    # model2vec leaves unknown tokens out of the mean, which a vector of zero does as well.
    unknown = _unknown_token(path.parent / "tokenizer.json")
    if unknown is not None and unknown < len(made):
        made[unknown] = 0
    return made


def _unknown_token(path: Path) -> int | None:
    """Number of the token that stands for unknown ones; None: there is none."""
    import tokenizers

    model = tokenizers.Tokenizer.from_file(str(path))
    token = getattr(model.model, "unk_token", None)
    if token is None:
        return getattr(model.model, "unk_id", None)
    number: int | None = model.token_to_id(token)
    return number


def table_shape(weights: Path, name: str) -> tuple[int, int]:
    """Tokens and dimensions of a table, without reading it.

    Raises:
        ModelError: If the file holds no table of token vectors.
    """
    if is_word_vectors(weights):
        return _words_shape(weights)
    from safetensors import safe_open

    with safe_open(weights, framework="numpy") as file:
        names = set(file.keys())
        key = "embedding.weight" if "embedding.weight" in names else "embeddings"
        shape = list(file.get_slice(key).get_shape()) if key in names else []
        tokens = file.get_slice("mapping").get_shape()[0] if "mapping" in names else 0
    if len(shape) != 2:
        raise ModelError(
            f"{weights} of model {name!r} holds no table of token vectors",
            "Give a folder of StaticEmbedding (sentence-transformers) or of model2vec.",
        )
    return int(tokens or shape[0]), int(shape[1])


def load_static_tokenizer(place: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a static model.

    Args:
        place: Its folder, or the file of word vectors.
    """
    from tokenizers import Tokenizer

    if is_word_vectors(place):
        return _word_tokenizer(place)
    return without_special_tokens(Tokenizer.from_file(str(place / "tokenizer.json")))


def _word_tokenizer(path: Path) -> tokenizers.Tokenizer:
    """A tokenizer for word vectors: words and punctuation, lower-cased if all words are."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words, _ = _read_words(path)
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    steps: list[Any] = [normalizers.NFC()]
    if not any(word != word.lower() for word in words if word != _UNKNOWN):
        steps.append(normalizers.Lowercase())
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def without_special_tokens(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The same tokenizer, putting nothing around a text: such tokens would shift every mean."""
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    return tokenizer


def save_static(folder: Path, tokenizer: tokenizers.Tokenizer, table: Vectors, card: str) -> None:
    """Write a static model that opens here and in sentence-transformers, with the same vectors.

    Args:
        folder: Exists, and is empty.
        tokenizer: Whose token numbers are the rows of the table.
        table: float32[vocabulary, d].
        card: ``README.md``.
    """
    from safetensors.numpy import save_file

    tokenizer.no_truncation()
    tokenizer.no_padding()
    without_special_tokens(tokenizer).save(str(folder / "tokenizer.json"))
    save_file({"embedding.weight": table}, folder / "model.safetensors")
    kinds = {"": "StaticEmbedding", "1_Normalize": "Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "1_Normalize").mkdir()
    _write_json(folder / "modules.json", modules)
    _write_json(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})
    (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")


def _words_shape(path: Path) -> tuple[int, int]:
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise _no_words(path, "it is empty")
    return 2 + sum(1 for _ in rows), len(first[1].split())


def _read_words(path: Path) -> tuple[list[str], Vectors]:
    """The words of a file, and their vectors; the first is the unknown one, of zeros."""
    return _words_as_of(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _words_as_of(path: Path, changed: int) -> tuple[list[str], Vectors]:  # noqa: ARG001 - part of the key
    """Tokenizer and table come from one file, which may be a gigabyte: it is read once."""
    words = [_UNKNOWN]
    vectors: list[Vectors] = []
    seen = {_UNKNOWN}
    for number, (word, numbers) in enumerate(_rows(path)):
        try:
            vector = np.array(numbers.split(), np.float32)
        except ValueError as error:
            raise _no_words(path, f"{error} in word {number + 1}") from error
        if vectors and len(vector) != len(vectors[0]):
            raise _no_words(
                path, f"word {number + 1} has {len(vector)} numbers, others {len(vectors[0])}"
            )
        # The first vector of a word counts; some files repeat words.
        if word not in seen:
            seen.add(word)
            words.append(word)
            vectors.append(vector)
    if not vectors:
        raise _no_words(path, "it is empty")
    return words, np.concatenate([np.zeros((1, len(vectors[0])), np.float32), vectors])


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Word and numbers of each line; the header of word2vec (rows and dimensions) is left out."""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines):
            word, _, numbers = line.rstrip().partition(" ")
            is_header = number == 0 and word.isdecimal() and numbers.strip().isdecimal()
            if numbers and not is_header:
                yield word, numbers


def _no_words(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{path} holds no word vectors ({why})",
        "Each line is a word and its numbers, separated by spaces, as GloVe and word2vec write.",
    )
