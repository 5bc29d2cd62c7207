"""Tokens of plain texts, word by word: BERT's tokenizer reads each word alone, so once is enough.

Its normaliser keeps account of where every character went and its model looks up the beginnings of
every word, each time that it meets it. A text of printable ASCII is only lower-cased, and cut at
spaces and around punctuation; what the words in between become is asked of the tokenizer once and
remembered. That takes a quarter of the time, and tokenising is what a fast model waits for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sbert_cluster.encoder.bags import Bags

if TYPE_CHECKING:
    import tokenizers

_MOST_KNOWN = 200_000
"""Words that are remembered; then it starts anew."""
_WORD = re.compile("[A-Za-z0-9]+|[^A-Za-z0-9 ]")
"""What BERT's pre-tokenizer makes of printable ASCII: each punctuation mark is a word."""
_END = "\n"
"""Between two texts; it is a word without tokens."""


class KnownWords:
    """Words of a tokenizer that cuts, lower-cases and reads them as BERT's does.

    Args:
        tokenizer: Without limit, special tokens and normaliser.
        lower: Whether its normaliser lower-cases.
        added: Matches tokens that are looked for in the text itself, such as [MASK].
    """

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, added: re.Pattern[str], *, lower: bool
    ) -> None:
        self._tokenizer, self._added, self._lower = tokenizer, added, lower
        self._number = {_END: 0}
        self._words = Bags.of([[]])

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer) -> KnownWords | None:
        """Begin with no word; None: the tokenizer is of another kind."""
        import tokenizers
        from tokenizers import models, normalizers, pre_tokenizers

        normalizer, model = tokenizer.normalizer, tokenizer.model
        if not (
            isinstance(normalizer, normalizers.BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and isinstance(model, models.WordPiece)
        ):
            return None
        alone = tokenizers.Tokenizer(model)
        alone.pre_tokenizer = tokenizer.pre_tokenizer
        added = [
            re.escape(token.content) for token in tokenizer.get_added_tokens_decoder().values()
        ]
        pattern = re.compile("|".join(added) or "(?!)", re.IGNORECASE)
        return cls(alone, pattern, lower=normalizer.lowercase)

    def takes(self, text: str) -> bool:
        """Whether a text can be read word by word."""
        return text.isascii() and text.isprintable() and not self._added.search(text)

    def tokens(self, texts: Sequence[str]) -> Bags:
        """Tokens of texts, all of which it takes, without any special ones."""
        # One string and no list for each text: that would call Python's garbage collector.
        whole = _END.join([*texts, ""])
        words = _WORD.findall(whole.lower() if self._lower else whole)
        self._learn(set(words))
        which = np.fromiter(map(self._number.__getitem__, words), np.int64, len(words))
        bags = self._words.take(which)
        ends = np.flatnonzero(which == 0)
        return Bags(bags.numbers, np.concatenate([np.zeros(1, np.int64), bags.starts[ends]]))

    def _learn(self, words: set[str]) -> None:
        """Ask the tokenizer for those that are not known."""
        if len(self._number) + len(words) > _MOST_KNOWN:
            self._number, self._words = {_END: 0}, Bags.of([[]])
        new = list(words.difference(self._number))
        asked = self._tokenizer.encode_batch_fast(new)
        self._number |= {word: number for number, word in enumerate(new, len(self._number))}
        self._words = Bags.joined([self._words, Bags.of(encoding.ids for encoding in asked)])
