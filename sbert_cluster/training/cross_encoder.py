"""A cross-encoder: reads two texts at once and says how likely they mean the same.

Slower than comparing vectors by orders of magnitude, and better: so it decides only what is close
to the threshold. It is trained by the same loop as an encoder (binary cross-entropy on pairs), and
its folder opens as a ``CrossEncoder`` in sentence-transformers.
"""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.batching import batches
from sbert_cluster.encoder.checkpoint import TOKENIZER_FILES, Checkpoint
from sbert_cluster.encoder.device import Place
from sbert_cluster.encoder.generic import quiet_transformers
from sbert_cluster.errors import ModelError
from sbert_cluster.options import Precision
from sbert_cluster.progress import Progress, silent
from sbert_cluster.training.network import attend_in_steps, padded
from sbert_cluster.training.tasks import Batch, Task
from sbert_cluster.training.unpadded import Unpadded, fits
from sbert_cluster.types import Rows

if TYPE_CHECKING:
    import tokenizers
    import torch

_BATCH_TOKENS, _BATCH_TOKENS_GPU = 2_048, 16_384
_WINDOW = 4_096
"""Pairs tokenised at a time."""
_LONGEST = 256
"""Tokens of a pair that are read at most; the longer text is cut first."""


YES = "yes_from"
"""Where ``sbert_cluster.json`` keeps the probability from which an answer is a yes."""
BLEND = "blend"
"""Where it keeps how the answer is weighed with the similarity."""


def is_cross_encoder(name: str) -> bool:
    """Whether a folder holds a sequence classifier."""
    config = Path(name).expanduser() / "config.json"
    try:
        named = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [""]
    except (OSError, ValueError, AttributeError):
        return False
    return str(named[0]).endswith("ForSequenceClassification")


class PairReader(ABC):
    """Reads two texts at once.

    Args:
        checkpoint: Of a cross-encoder, or of the encoder that it starts from.
        place: Device and number format.
    """

    _batch_tokens: int

    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        self.checkpoint, self.place = checkpoint, place
        self._tokenizer = _pair_tokenizer(checkpoint)
        self._has_types = int(checkpoint.config.get("type_vocab_size") or 0) > 1

    @abstractmethod
    def _logits(self, encodings: list[tokenizers.Encoding]) -> torch.Tensor:
        """Of the pairs of one batch. Shape: (k, 1)."""

    def score(
        self, pairs: Sequence[tuple[str, str]], progress: Progress = silent
    ) -> NDArray[np.float32]:
        """The probability that two texts mean the same, whichever stands first.

        Args:
            pairs: Texts.
            progress: Told the pairs done.

        Returns:
            float32[k]: the mean of both orders.
        """
        import torch

        scores = np.empty(len(pairs), np.float32)
        with torch.inference_mode():
            for start in range(0, len(pairs), _WINDOW):
                window = list(pairs[start : start + _WINDOW])
                turned = [(b, a) for a, b in window]
                both = [self._scored(self._encoded(part)) for part in (window, turned)]
                scores[start : start + len(window)] = (both[0] + both[1]) / 2
                progress("reranking", start + len(window), len(pairs), "pairs")
        return scores

    def _scored(self, encodings: list[tokenizers.Encoding]) -> NDArray[np.float32]:
        made = np.empty(len(encodings), np.float32)
        for part in self._cut(encodings):
            logits = self._logits([encodings[i] for i in part])
            made[part] = logits[:, 0].float().sigmoid().cpu().numpy()
        return made

    def _encoded(self, pairs: list[tuple[str, str]]) -> list[tokenizers.Encoding]:
        return self._tokenizer.encode_batch(pairs)

    def _cut(self, encodings: list[tokenizers.Encoding]) -> list[Rows]:
        lengths = np.array([len(encoding.ids) for encoding in encodings], np.int64)
        return list(batches(lengths, self._batch_tokens))

    def _by_length(
        self, encodings: list[tokenizers.Encoding]
    ) -> tuple[Rows, list[list[int]], list[list[int]] | None]:
        """Where each pair stood, and the tokens and segments of pairs, the longest first."""
        lengths = np.array([len(encoding.ids) for encoding in encodings])
        order = np.argsort(-lengths, kind="stable")
        ids = [encodings[i].ids for i in order]
        types = [encodings[i].type_ids for i in order] if self._has_types else None
        return np.argsort(order, kind="stable"), ids, types


class CrossEncoder(PairReader):
    """A classifier of pairs with one output, to be trained.

    Args:
        checkpoint: A cross-encoder, or an encoder whose body is taken (the output is then new).
        place: Device and number format of the products.
        texts: Texts that pair codes stand for, in training: ``left × len(texts) + right``.
        seed: Of the output's weights, where they are new.

    Raises:
        ModelError: If the weights cannot be loaded.
    """

    def __init__(
        self, checkpoint: Checkpoint, place: Place, texts: Sequence[str] = (), seed: int = 0
    ) -> None:
        super().__init__(checkpoint, place)
        self._texts = texts
        self.body = _load_classifier(checkpoint, seed).to(place.device)
        attend_in_steps(self.body, place)
        self._padding = int(checkpoint.config.get("pad_token_id") or 0)
        self._batch_tokens = _BATCH_TOKENS if place.device == "cpu" else _BATCH_TOKENS_GPU
        self.unpadded = place.device == "cpu" and fits(getattr(self.body, "bert", None))

    @property
    def dimensions(self) -> int:
        """Outputs of a pair."""
        return 1

    def read(self, texts: Sequence[str]) -> None:
        """Take the texts that pair codes stand for."""
        self._texts = texts

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by name."""
        return {k: p for k, p in self.body.named_parameters() if p.requires_grad}

    def learning(self, on: bool) -> None:
        """Switch dropout on or off."""
        self.body.train(on)

    def chunks(self, codes: Rows) -> list[Rows]:
        """Cut pairs into forward passes of like lengths; positions in ``codes``."""
        return self._cut(self._encoded(self._pairs(codes)))

    def forward(self, codes: Rows) -> torch.Tensor:
        """Logits of pairs by code, with their graph. Shape: (k, 1)."""
        return self._logits(self._encoded(self._pairs(codes)))

    def score(
        self, pairs: Sequence[tuple[str, str]], progress: Progress = silent
    ) -> NDArray[np.float32]:
        """As every :class:`PairReader` does, without dropout."""
        self.learning(False)
        return super().score(pairs, progress)

    def _pairs(self, codes: Rows) -> list[tuple[str, str]]:
        left, right = np.divmod(codes, len(self._texts))
        return [(self._texts[i], self._texts[j]) for i, j in zip(left, right, strict=True)]

    def _logits(self, encodings: list[tokenizers.Encoding]) -> torch.Tensor:
        import torch

        half = self.place.precision is Precision.BF16
        if self.unpadded:
            return self._logits_unpadded(encodings, half=half)
        device = self.place.device
        ids, mask = padded([e.ids for e in encodings], self._padding, _LONGEST)
        fields = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        if self._has_types:
            fields["token_type_ids"] = padded([e.type_ids for e in encodings], 0, _LONGEST)[0].to(
                device
            )
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=half):
            logits: torch.Tensor = self.body(**fields).logits
        return logits.float()

    def _logits_unpadded(self, encodings: list[tokenizers.Encoding], *, half: bool) -> torch.Tensor:
        import torch

        place, ids, types = self._by_length(encodings)
        body: Any = self.body
        hidden = Unpadded(body.bert, half=half)(ids, types)
        first = torch.cat([block[:, :1] for block in hidden])
        logits: torch.Tensor = body.classifier(body.dropout(body.bert.pooler(first)))
        return logits[torch.from_numpy(place)]

    def save(self, folder: Path, card: str) -> None:
        """Write a folder that opens here and in sentence-transformers."""
        with quiet_transformers():
            self.body.save_pretrained(folder)  # type: ignore[operator]
        for name in TOKENIZER_FILES:
            source = self.checkpoint.folder / name
            if source.exists():
                shutil.copyfile(source, folder / name)
        (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")


class PairTask:
    """A task of :mod:`~sbert_cluster.training.tasks` seen by a cross-encoder: pairs are its texts.

    Args:
        task: Draws the pairs.
        texts: How many texts there are.
    """

    def __init__(self, task: Task, texts: int) -> None:
        self._task, self._texts = task, texts
        self.head: torch.nn.Linear | None = None
        self.batches, self.tiring = task.batches, task.tiring
        self.repeats_texts = False

    def make_head(self, dimensions: int, device: str) -> None:
        """The output is a part of the cross-encoder itself."""

    def batch(self, number: int) -> Batch:
        """Codes of pairs, and their labels."""
        made = self._task.batch(number)
        left, right = made.columns
        return Batch((left * self._texts + right,), made.labels)

    def loss(self, columns: tuple[torch.Tensor, ...], batch: Batch) -> torch.Tensor:
        """Binary cross-entropy of the logits; labels may lie between 0 and 1."""
        import torch

        # For want of better ones, mined negatives are taken at their word here.
        labels = torch.from_numpy(np.maximum(batch.labels, 0)).to(columns[0].device)
        return torch.nn.functional.binary_cross_entropy_with_logits(columns[0][:, 0], labels)


def _pair_tokenizer(checkpoint: Checkpoint) -> tokenizers.Tokenizer:
    from sbert_cluster.encoder.tokens import load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(_LONGEST, checkpoint.max_seq_length))
    return tokenizer


def _load_classifier(checkpoint: Checkpoint, seed: int) -> torch.nn.Module:
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    with quiet_transformers():
        try:
            model: torch.nn.Module = AutoModelForSequenceClassification.from_pretrained(
                str(checkpoint.folder),
                num_labels=1,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        # Anything may come out of a foreign folder: missing tensors, wrong shapes, unknown types.
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"model {checkpoint.fingerprint.name!r} cannot be loaded as a cross-encoder "
                f"({reason})",
                "Check that its config.json and weights belong together.",
            ) from error
    return model.float()


def described(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a cross-encoder is, for ``run.json``."""
    fingerprint = checkpoint.fingerprint
    return {"name": fingerprint.name, "sha256": fingerprint.sha256}
