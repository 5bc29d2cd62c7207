"""Texts → token numbers, through the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.static import load_static_tokenizer
from sbert_cluster.encoder.words import KnownWords
from sbert_cluster.errors import ModelError, TextError, UsageError
from sbert_cluster.options import LongTexts

if TYPE_CHECKING:
    import tokenizers

FIRST_REACH = 16
"""Characters tokenised at first for each token that the model reads; English has four."""
LONGEST_REACH = 1_000_000
"""Characters of one text that are looked at to find the tokens that the model reads."""
_STEP = 8
"""Each further look at a long text goes so many times as far."""
_STRETCH = 250_000
"""Characters tokenised at a time: the tokenizer takes up to 300 bytes for each."""
_SPACES = " \n\r\t"
"""White space to every tokenizer."""
OVERLAP = 1 / 8
"""Share of a chunk that the next chunk reads again."""


@dataclass(frozen=True)
class Tokens:
    """Token numbers of n texts, as s sequences that the model can read; usually one a text."""

    numbers: NDArray[np.int32]
    """All sequences end to end, special tokens included."""
    starts: NDArray[np.int64]
    """int64[s + 1]: where each sequence begins in ``numbers``; the last one is the end."""
    text: NDArray[np.int64]
    """int64[s]: which text a sequence belongs to, rising."""
    weights: NDArray[np.int64]
    """int64[s]: tokens of the text's own in a sequence: neither special nor of the prompt."""
    truncated: NDArray[np.bool_]
    """bool[n]: what lies beyond the model's length was cut off."""
    chunked: NDArray[np.bool_]
    """bool[n]: longer than the model reads, so that the text has several sequences."""

    def __len__(self) -> int:
        return len(self.text)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64[s]: tokens of each sequence."""
        return np.diff(self.starts)

    def take(self, which: Sequence[int] | NDArray[np.int64]) -> list[list[int]]:
        """Token numbers of the sequences at the given positions."""
        starts = self.starts
        return [self.numbers[starts[i] : starts[i + 1]].tolist() for i in which]


class Tokenizer:
    """The model's tokenizer, with its prompt, case and length applied.

    It is used by one thread at a time.

    Args:
        checkpoint: The model.
        long_texts: What becomes of texts that are longer than the model reads.

    Raises:
        ModelError: If the model has no tokenizer that can be read.
        UsageError: If long texts are to be chunked, but the prompt leaves no room for any.
    """

    def __init__(self, checkpoint: Checkpoint, long_texts: LongTexts = LongTexts.TRUNCATE) -> None:
        self._tokenizer = load_tokenizer(checkpoint)
        self._tokenizer.no_padding()
        if checkpoint.lower_case:
            _add_lower_case(self._tokenizer)
        self._prompt = checkpoint.fingerprint.prompt
        self._length = checkpoint.max_seq_length
        self._frame = _Frame.of(self._tokenizer, self._prompt)
        self._chunks = long_texts is LongTexts.CHUNK
        if self._chunks and self._frame.size >= self._length:
            raise UsageError(
                f"the prompt takes {self._frame.size} of the {self._length} tokens that the model "
                "reads, so no chunk of a text fits behind it",
                "Use a shorter --prompt, or --long-texts truncate.",
            )
        self._tokenizer.enable_truncation(self._length)
        self._words = KnownWords.of(self._tokenizer)
        self.skipped = 0 if checkpoint.pool_prompt else self._prompt_length()
        """Tokens at the start of each text that take no part in pooling."""

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokenise texts; what lies beyond the model's length is cut, or chunked, and marked.

        Raises:
            TextError: If the tokenizer fails on one of them.
        """
        try:
            return self._tokens(texts)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # a panic of the tokenizer is no Exception
            for position, text in enumerate(texts):
                self._check(position, text)
            raise

    def _check(self, position: int, text: str) -> None:
        """Name a text that the tokenizer fails on; its message may quote it, and is left out."""
        try:
            self._tokens([text])
        except BaseException as error:  # noqa: BLE001 - as above
            kind = type(error).__name__
            raise TextError(position, f"the tokenizer fails on it with {kind}") from None

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        frame = self._frame
        own, long = self._own(texts)
        sequences, text = own.framed(frame.special, frame.behind), np.arange(len(texts))
        if self._chunks:
            sequences, text = self._chunked(texts, sequences, long)
        none = np.zeros(len(texts), np.bool_)
        return Tokens(
            numbers=sequences.numbers,
            starts=sequences.starts,
            text=text,
            weights=np.maximum(np.diff(sequences.starts) - frame.size, 0),
            truncated=none if self._chunks else long,
            chunked=long if self._chunks else none,
        )

    def bags(self, texts: Sequence[str]) -> tuple[Bags, NDArray[np.bool_]]:
        """The texts' own tokens, without special ones and without the prompt.

        Returns:
            The tokens, and bool[n]: what lies beyond the model's length was cut off.
        """
        own, long = self._own(texts)
        return own.cut(self._frame.prompt), long

    def alone(self, token: int) -> list[int]:
        """A sequence of one token, with the special tokens and the prompt around it."""
        return [*self._frame.before, token, *self._frame.behind]

    @property
    def vocabulary(self) -> int:
        """Number of tokens there are."""
        return int(self._tokenizer.get_vocab_size())

    def _own(self, texts: Sequence[str]) -> tuple[Bags, NDArray[np.bool_]]:
        """Those tokens of each text that the model reads, and whether there are more.

        They are those of the prompt and the text, without special ones.
        """
        prompted = [self._prompt + text for text in texts] if self._prompt else texts
        words, reach = self._words, FIRST_REACH * self._length
        plain = [
            row
            for row, text in enumerate(prompted)
            if words is not None and len(text) <= reach and words.takes(text)
        ]
        quick = words.tokens([prompted[row] for row in plain]) if words else Bags.of([])
        taken = np.zeros(len(texts), np.bool_)
        taken[plain] = True
        others = np.flatnonzero(~taken)
        slow, beyond = self._truncate([texts[row] for row in others.tolist()])
        long = np.zeros(len(texts), np.bool_)
        long[plain] = np.diff(quick.starts) > self._room
        long[others] = beyond
        order = np.argsort(np.concatenate([np.array(plain, np.int64), others]))
        return Bags.joined([quick.cut(0, self._room), slow]).take(order), long

    @property
    def _room(self) -> int:
        """Tokens of prompt and text that the model reads."""
        return max(0, self._length - len(self._frame.special) - len(self._frame.behind))

    def _truncate(self, texts: Sequence[str]) -> tuple[Bags, NDArray[np.bool_]]:
        """The same, through the tokenizer.

        A long text is looked at from its beginning, in growing steps, until the model's length is
        filled twice: the words up to the cut are whole, so a tokenizer that splits at white space
        gives them the same tokens as in the whole text. With any other tokenizer a whole length of
        tokens lies between those that are read and the cut.
        """
        first, last = len(self._frame.special), len(self._frame.behind)
        read: list[list[int]] = [[]] * len(texts)
        long = np.zeros(len(texts), np.bool_)
        waiting: Sequence[int] = range(len(texts))
        reach = FIRST_REACH * self._length
        while waiting:
            heads = [_head(texts[row], reach) for row in waiting]
            not_enough = []
            for row, head, encoding in zip(waiting, heads, self._encode(heads), strict=True):
                beyond = len(encoding.overflowing)
                if beyond >= 2 or len(head) == min(len(texts[row]), LONGEST_REACH):
                    numbers = encoding.ids
                    read[row] = numbers[first : max(first, len(numbers) - last)]
                    long[row] = beyond > 0 or len(head) < len(texts[row])
                else:
                    not_enough.append(row)
            waiting, reach = not_enough, _STEP * reach
        return Bags.of(read), long

    def _chunked(
        self, texts: Sequence[str], sequences: Bags, long: NDArray[np.bool_]
    ) -> tuple[Bags, NDArray[np.int64]]:
        """Sequences with chunks in the place of those that were cut; int64: whose each is."""
        short, cut = np.flatnonzero(~long), np.flatnonzero(long)
        chunks = [self._chunk(texts[row]) for row in cut.tolist()]
        text = np.concatenate([short, np.repeat(cut, [len(listed) for listed in chunks])])
        made = Bags.joined([sequences.take(short), Bags.of(chain.from_iterable(chunks))])
        order = np.argsort(text, kind="stable")
        return made.take(order), text[order]

    def _encode(self, texts: Sequence[str]) -> Iterator[tokenizers.Encoding]:
        """Tokenise in stretches, since the tokenizer needs far more memory than its result."""
        start = size = 0
        for position, text in enumerate(texts):
            if size and size + len(text) > _STRETCH:
                yield from self._encode_batch(texts[start:position])
                start, size = position, 0
            size += len(text)
        yield from self._encode_batch(texts[start:])

    def _encode_batch(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        return self._tokenizer.encode_batch_fast([_sound(self._prompt + text) for text in texts])

    def _chunk(self, text: str) -> list[list[int]]:
        """Sequences that cover a text, each with the special tokens and the prompt around it."""
        frame = self._frame
        own = self._all_tokens(text)
        room = self._length - frame.size
        overlap = int(room * OVERLAP)
        starts = range(0, max(1, len(own) - overlap), room - overlap)
        return [[*frame.before, *own[start : start + room], *frame.behind] for start in starts]

    def _all_tokens(self, text: str) -> list[int]:
        """Every token of a text, without special ones and without the prompt."""
        self._tokenizer.no_truncation()
        numbers: list[int] = []
        prompt = self._prompt
        for part in _stretches(text):
            encoding = self._tokenizer.encode(_sound(prompt + part), add_special_tokens=False)
            numbers += encoding.ids
            # It stands before the first stretch alone, and its tokens are then left out.
            prompt = ""
        self._tokenizer.enable_truncation(self._length)
        return numbers[self._frame.prompt :]

    def _prompt_length(self) -> int:
        """Tokens of the prompt, with the special token before it and without one behind it."""
        if not self._prompt:
            return 0
        # Cut like a text, so that a prompt as long as the model reads leaves the last token.
        prompt = self._tokenizer.encode(_sound(self._prompt))
        return len(prompt.ids) - sum(prompt.special_tokens_mask[-1:])


@dataclass(frozen=True)
class _Frame:
    """What stands around the tokens of each text."""

    before: list[int]
    """Special tokens, then those of the prompt."""
    behind: list[int]
    """Special tokens."""
    prompt: int
    """Number of tokens of the prompt."""

    @property
    def special(self) -> list[int]:
        """Special tokens before the prompt."""
        return self.before[: len(self.before) - self.prompt]

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.before) + len(self.behind)

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer, prompt: str) -> _Frame:
        """Find the frame of a tokenizer by what it puts around a word."""
        tokenizer.no_truncation()
        word = tokenizer.encode("a")
        special = word.special_tokens_mask
        before = sum(takewhile(bool, special))
        behind = sum(takewhile(bool, reversed(special[before:])))
        own = tokenizer.encode(_sound(prompt), add_special_tokens=False).ids if prompt else []
        return cls(
            [*word.ids[:before], *own],
            word.ids[len(special) - behind :],
            len(own),
        )


def _head(text: str, reach: int) -> str:
    """The beginning of a text, up to a white space before ``reach`` or else further on."""
    while reach < min(len(text), LONGEST_REACH):
        if space := _last_space(text, reach // 2, reach):
            return text[:space]
        reach *= _STEP
    return text[:LONGEST_REACH]


def _stretches(text: str) -> Iterator[str]:
    """Cut a text before white space into parts that the tokenizer can take."""
    start = 0
    while start + _STRETCH < len(text):
        reach = start + _STRETCH
        stop = _last_space(text, reach - _STRETCH // 2, reach) or reach
        yield text[start:stop]
        start = stop
    yield text[start:]


def _last_space(text: str, start: int, stop: int) -> int:
    """Position of the last white space between two positions; 0: there is none."""
    return max(0, *(text.rfind(mark, start, stop) for mark in _SPACES))


def _sound(text: str) -> str:
    # Lone surrogates can stand in a Python string, but not in UTF-8, which the tokenizer needs.
    return text.encode("utf-8", "replace").decode("utf-8")


def load_tokenizer(checkpoint: Checkpoint) -> tokenizers.Tokenizer:
    """The tokenizer of a model folder as it stands.

    Raises:
        ModelError: If it cannot be read.
    """
    import tokenizers

    path = checkpoint.folder / "tokenizer.json"
    try:
        if checkpoint.is_static:
            return load_static_tokenizer(checkpoint.folder)
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
