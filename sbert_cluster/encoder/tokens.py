"""Texts → token numbers, through the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.errors import ModelError

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True)
class Tokens:
    """Token numbers of some texts."""

    ids: list[list[int]]
    """One list a text, special tokens included."""
    truncated: NDArray[np.bool_]
    """bool[n]: tokens were cut off at the model's length."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64[n]: tokens of each text."""
        return np.fromiter(map(len, self.ids), np.int64, len(self.ids))


class Tokenizer:
    """The model's tokenizer, with its prompt, case and length applied.

    Args:
        checkpoint: The model.

    Raises:
        ModelError: If the model has no tokenizer that can be read.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._tokenizer = _load(checkpoint)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(checkpoint.max_seq_length)
        if checkpoint.lower_case:
            _add_lower_case(self._tokenizer)
        self._prompt = checkpoint.fingerprint.prompt
        self.skipped = 0 if checkpoint.pool_prompt else self._prompt_length()
        """Tokens at the start of each text that take no part in pooling."""

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokenise texts; what lies beyond the model's length is cut and marked."""
        encodings = self._tokenizer.encode_batch_fast([self._prepared(text) for text in texts])
        truncated = np.fromiter((bool(e.overflowing) for e in encodings), np.bool_, len(texts))
        return Tokens([encoding.ids for encoding in encodings], truncated)

    def _prepared(self, text: str) -> str:
        # Lone surrogates can stand in a Python string, but not in UTF-8, which the tokenizer needs.
        return (self._prompt + text).encode("utf-8", "replace").decode("utf-8")

    def _prompt_length(self) -> int:
        """Tokens of the prompt, with the special token before it and without one behind it."""
        if not self._prompt:
            return 0
        # Cut like a text, so that a prompt as long as the model reads leaves the last token.
        prompt = self._tokenizer.encode(self._prepared(""))
        return len(prompt.ids) - sum(prompt.special_tokens_mask[-1:])


def _load(checkpoint: Checkpoint) -> tokenizers.Tokenizer:
    import tokenizers

    path = checkpoint.folder / "tokenizer.json"
    try:
        if path.exists():
            return tokenizers.Tokenizer.from_file(str(path))
        return _convert(checkpoint)
    # The Rust side raises bare Exception for a file that it cannot parse.
    except Exception as error:
        raise ModelError(
            f"the tokenizer of model {checkpoint.fingerprint.name!r} cannot be read ({error})",
            "Add a tokenizer.json to the model folder.",
        ) from error


def _add_lower_case(tokenizer: tokenizers.Tokenizer) -> None:
    """Lower-case inside the tokenizer: ``str.lower`` has other rules, and spoils ``[MASK]``."""
    from tokenizers import normalizers

    steps = [normalizers.Lowercase(), tokenizer.normalizer]
    tokenizer.normalizer = normalizers.Sequence([step for step in steps if step])


def _convert(checkpoint: Checkpoint) -> tokenizers.Tokenizer:
    """Older folders have only ``vocab.txt`` or ``merges.txt``, which transformers can read."""
    from transformers import AutoTokenizer

    # Without a vocabulary transformers makes a tokenizer up that knows five tokens.
    if not any([*checkpoint.folder.glob("vocab.*"), *checkpoint.folder.glob("*.model")]):
        raise FileNotFoundError("there is neither a tokenizer.json nor a vocabulary")
    fast = AutoTokenizer.from_pretrained(
        str(checkpoint.folder), local_files_only=True, trust_remote_code=False, use_fast=True
    )
    backend: tokenizers.Tokenizer = fast.backend_tokenizer
    return backend
