"""How many pairs a cheap look misses, measured on a random sample of rows.

A cheap model (the student) gives all n rows vectors; the model that counts (the teacher) reads only
rows that have a partner at student similarity ≥ s. Let r(i) be the highest student similarity of
row i to any other row. A true pair (teacher similarity ≥ t) is found if both its rows are read,
that is if

    min(r(i), r(j)) ≥ s.

Its *level* is that minimum, and the row which has it (the later row, where both have) *owns* the
pair. Recall at s is the share of true pairs whose level is ≥ s.

**The sample.** The rows with r ≥ L, for some low L, are put into a random order, and the first m of
them are audited: the teacher reads the row and every row that it reaches, the partners with student
similarity ≥ L of pairs which it owns. So the x(i) true pairs that an audited row owns are known, at
one level, r(i). Each pair has one owner, so each has the same chance m/N of being seen, whatever
group of copies it is in: the Horvitz-Thompson weights are equal and cancel, and

    recall(s) ≈ 1 - k/D,  D = Σ x(i),  k = Σ x(i) over audited rows with r(i) < s.

The student is trained before the sample is drawn and never sees it, and rows that it was trained
on are sampled like any other: they are part of what is estimated.

**The interval.** The pairs of one row are seen together, so they count as fewer: D is divided by
the design effect Σ x² / Σ x (which is what it is if rows are missed regardless of how many pairs
they own) or by the observed one, whichever is larger, and Clopper & Pearson's exact bound is taken
with that (Korn & Graubard 1998, "Confidence intervals for proportions with small expected number of
positive counts estimated from survey data"). It is one-sided: recall is at least ``low`` with 95 %
confidence, so [low, 1] is a 95 % interval. The bound falls as s rises, so that taking the highest s
whose bound suffices is no second chance: it goes wrong only if the bound at the one level where
recall falls below the target does. With all N rows audited k/D is no estimate any more.

**What no sample of this size can see** are true pairs below L: they are a handful among nearly all
pairs that there are. They are extrapolated. Let N1, N2 and N3 be the sampled true pairs at student
similarities in the three windows of width h between L and the median. If their density is
log-concave (as that of a normal distribution is, and any that thins out at least as fast as a
geometric series), counts in windows of equal width fall ever faster towards lower similarities, so

    pairs below L ≤ N1 (q + q² + …) = N1 q / (1 - q),  q = N1 / N2 ≤ N2 / N3;

one is added to each count for caution, and the smaller of the two ratios is taken. This is the only
assumption; it is as good as the student's scores are regular.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Pairs, Rows

CONFIDENCE = 0.95
_WINDOWS = 3
"""Between the lowest similarity looked at and the median of true pairs."""


@dataclass(frozen=True)
class Reach:
    """Who is near whom, by the student's vectors."""

    count: int
    """n, number of rows."""
    lowest: float
    """L: no pair below it is known."""
    owner: Rows
    """int64[p]: the row that owns the pair, rising."""
    partner: Rows
    """int64[p]: the other one."""
    similarity: NDArray[np.float32]
    """float32[p], the student's."""
    level: NDArray[np.float32]
    """float32[n]: r, the highest similarity of each row to another; -1 where it is below L."""

    @classmethod
    def of(cls, pairs: Pairs, count: int, lowest: float) -> Reach:
        """From all pairs with student similarity ≥ lowest."""
        level = np.full(count, -1, np.float32)
        np.maximum.at(level, pairs.left, pairs.similarity)
        np.maximum.at(level, pairs.right, pairs.similarity)
        # Of equal levels the later row owns the pair; left < right.
        left_owns = level[pairs.left] < level[pairs.right]
        owner = np.where(left_owns, pairs.left, pairs.right)
        partner = np.where(left_owns, pairs.right, pairs.left)
        order = np.lexsort((partner, owner))
        return cls(count, lowest, owner[order], partner[order], pairs.similarity[order], level)

    @property
    def rows(self) -> Rows:
        """Rows that have a partner."""
        return np.flatnonzero(self.level >= 0)

    def owned_by(self, rows: Rows) -> Rows:
        """Positions of the pairs that the given rows own."""
        start = np.searchsorted(self.owner, rows, "left")
        length = np.searchsorted(self.owner, rows, "right") - start
        ends = np.cumsum(length)
        inside = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - length, length)
        positions: Rows = np.repeat(start, length) + inside
        return positions

    def above(self, lowest: float) -> Rows:
        """Rows that have a partner at or above a similarity."""
        return np.flatnonzero(self.level >= np.float32(lowest))


@dataclass(frozen=True)
class Audit:
    """What a random sample of rows showed."""

    levels: NDArray[np.float32]
    """float32[m]: r of each audited row."""
    owned: Rows
    """int64[m]: true pairs that it owns."""
    scores: NDArray[np.float32]
    """float32[D]: the student's similarities of those pairs."""
    lowest: float
    """L."""
    whole: bool
    """Whether every row with a partner was audited."""

    @property
    def pairs(self) -> int:
        """D, true pairs seen."""
        return int(self.owned.sum())

    @property
    def independent_pairs(self) -> float:
        """D over the design effect of rows that own several."""
        squares = float((self.owned.astype(np.float64) ** 2).sum())
        return self.pairs**2 / squares if squares else 0.0

    @property
    def below(self) -> float:
        """Extrapolated number of true pairs below L, for each that was seen; may be infinite."""
        if not len(self.scores):
            return np.inf
        edges = np.linspace(self.lowest, np.median(self.scores), _WINDOWS + 1)
        near, next_, last = 1 + np.diff(np.searchsorted(np.sort(self.scores), edges))
        ratio = float(min(near / next_, next_ / last))
        return near * ratio / (1 - ratio) / self.pairs if ratio < 1 else np.inf

    def recall(self, level: float) -> tuple[float, float]:
        """Recall if rows from that level on are read: the estimate, and its lower bound."""
        missed = self.levels < np.float32(level)
        lost, seen = float(self.owned[missed].sum()), float(self.pairs)
        if not seen:
            return 0.0, 0.0
        found = 1 - lost / seen
        low = found if self.whole else 1 - self._most_lost(lost, seen, missed)
        return found / (1 + self.below), low / (1 + self.below)

    def _most_lost(self, lost: float, seen: float, missed: NDArray[np.bool_]) -> float:
        """Upper bound of the share of pairs that are lost."""
        from scipy.special import betaincinv

        owned, share = self.owned.astype(np.float64), lost / seen
        effect = float((owned**2).sum()) / seen
        if 0 < share < 1:
            residuals = owned * (missed - share)
            effect = max(effect, float((residuals**2).sum()) / (seen * share * (1 - share)))
        effect = max(effect, 1.0)
        lost, seen = lost / effect, seen / effect
        return 1.0 if lost >= seen else float(betaincinv(lost + 1, seen - lost, CONFIDENCE))

    def highest_level(self, target: float) -> float | None:
        """The highest level at which recall is at least the target, with 95 % confidence.

        None: there is none, even if all rows that have a partner are read.
        """
        levels = np.unique(self.levels[self.owned > 0])
        if not len(levels) or self.recall(float(levels[0]))[1] < target:
            return None
        # The bound falls as the level rises.
        low, high = 0, len(levels)
        while high - low > 1:
            middle = (low + high) // 2
            if self.recall(float(levels[middle]))[1] >= target:
                low = middle
            else:
                high = middle
        return float(levels[low])
