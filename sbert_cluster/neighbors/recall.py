"""How many pairs a cheap look misses, measured on a random sample of rows.

A cheap model (the student) gives all n rows vectors; the model that counts (the teacher) reads only
rows that have a partner at student similarity ≥ s. Let r(i) be the highest student similarity of
row i to any other row. A true pair (teacher similarity ≥ t) is found if both its rows are read,
that is if

    min(r(i), r(j)) ≥ s.

Its *level* is that minimum, and the row which has it (the later row, where both have) *owns* the
pair. Recall at s is the share of true pairs whose level is ≥ s.

**The sample.** Rows with r ≥ h, for a high h, would be read at any s that comes into question. All
of them are audited, and so is a share f of the rows with L ≤ r < h, the first ones of a random
order. To audit a row is to let the teacher read it and every partner with student similarity ≥ L in
pairs that it owns; so the x(i) true pairs that it owns are known, at one level, r(i). Each pair has
one owner, so each has the same chance f of being seen, whatever group of copies it is in; with the
weight 1/f (Horvitz & Thompson)

    missed(s) ≈ k/f,  k = Σ x(i) over audited rows with r(i) < s ≤ h.

The student is trained before the sample is drawn and never sees it, and rows that it was trained
on are sampled like any other: they are part of what is estimated.

**The interval.** Were the k pairs independent, their expected number would be at most ½ χ²(0.975;
2 k + 2) with 97.5 % confidence (Garwood 1936, the exact bound for a Poisson count; a binomial's is
lower). But the pairs of one row are seen together, so they count as fewer: k is divided by the
design effect, and the bound multiplied by it. That is Σ x² / Σ x over the audited rows below h, or
over those below s, whichever is larger (as Korn & Graubard 1998 do for proportions). With

    recall(s) ≥ found / (found + bound/f + below),

where ``found`` are the true pairs that are known to be found at s, no more than there are, [low, 1]
is a 95 % interval. The bound falls as s does, so that taking the highest s whose bound suffices is
no second chance: it goes wrong only if the bound at the one level where recall falls below the
target does. The sample grows until it tells a level, though, and each time it is looked at is a
chance: hence 97.5 %, of which simulations leave more than 95 % for all looks together. With every
row audited k is no estimate any more; where even that suffices at no level, L is lowered, what was
L becomes h, and a new sample is drawn below.

**What no sample of this size can see** are true pairs below L: they are a handful among nearly all
pairs that there are. They are extrapolated. Let N1, N2 and N3 be the (weighted) true pairs at
student similarities in the three windows of width w between L and the median. If their density is
log-concave (as that of a normal distribution is, and any that thins out at least as fast as a
geometric series), counts in windows of equal width fall ever faster towards lower similarities, so

    below ≤ N1 (q + q² + …) = N1 q / (1 - q),  q = N1 / N2 ≤ N2 / N3;

one pair of the sample is added to each count for caution, and the smaller of the two ratios is
taken. This is the only assumption; it is as good as the student's scores are regular.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Pairs, Rows

CONFIDENCE = 0.975
"""Of the bound at each look at a growing sample, so that 0.95 are left for all of them."""
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
    """What the audited rows showed."""

    levels: NDArray[np.float32]
    """float32[m]: r of each audited row."""
    owned: Rows
    """int64[m]: true pairs that it owns."""
    scores: NDArray[np.float32]
    """float32[pairs]: the student's similarities of those pairs, row by row."""
    lowest: float
    """L."""
    sure: float
    """h: from that level on all rows were audited."""
    share: float
    """f in (0, 1]: share of the rows below that were audited."""

    @property
    def pairs(self) -> int:
        """True pairs seen."""
        return int(self.owned.sum())

    @property
    def below(self) -> float:
        """Extrapolated number of true pairs below L; may be infinite."""
        if not len(self.scores):
            return np.inf
        weights = np.repeat(np.where(self._is_sampled, 1 / self.share, 1.0), self.owned)
        middle = np.median(self.scores)
        edges = np.linspace(self.lowest, middle, _WINDOWS + 1)
        # A histogram would count what equals the last edge, the median, as well.
        lower = self.scores < middle
        counts = np.histogram(self.scores[lower], edges, weights=weights[lower])[0]
        near, next_, last = counts + 1 / self.share
        ratio = float(min(near / next_, next_ / last))
        return near * ratio / (1 - ratio) if ratio < 1 else np.inf

    def found(self, level: float) -> int:
        """True pairs that are known to be found where rows from that level on are read."""
        return int(self.owned[self.levels >= np.float32(level)].sum())

    def missed(self, level: float) -> tuple[float, float]:
        """True pairs from L on that are missed then: the estimate, and its upper bound."""
        from scipy.special import gammaincinv

        lost = self.levels < np.float32(level)
        count = float(self.owned[lost].sum())
        if self.share == 1:
            return count, count
        effect = max(_design_effect(self.owned[self._is_sampled]), _design_effect(self.owned[lost]))
        # The inverse of the incomplete gamma function is half a quantile of χ².
        bound = float(gammaincinv(count / effect + 1, CONFIDENCE)) * effect
        return count / self.share, bound / self.share

    def recall(self, level: float, found: int | None = None) -> tuple[float, float]:
        """Recall if rows from that level on are read: the estimate, and its lower bound.

        Args:
            level: s, at most h.
            found: True pairs that were found in the end; None: those that are known so far.
        """
        estimate, most = self.missed(level)
        known = self.found(level) if found is None else found
        if not known:
            return 0.0, 0.0
        if found is None:
            found = self.found(self.sure) + round(self._sampled / self.share - estimate)
        below = self.below
        return found / (found + estimate + below), known / (known + most + below)

    @property
    def _is_sampled(self) -> NDArray[np.bool_]:
        """bool[m]: the row is one of the random sample."""
        return self.levels < np.float32(self.sure)

    @property
    def _sampled(self) -> int:
        """True pairs of the random sample."""
        return int(self.owned[self._is_sampled].sum())

    def highest_level(self, target: float, *, sure: bool = True) -> float | None:
        """The highest level, at most h, at which recall is at least the target.

        Args:
            target: Recall.
            sure: For 95 % sure; if not, by the estimate alone.

        Returns:
            None if there is none, even if all rows that have a partner are read.
        """
        which = 1 if sure else 0
        levels = np.unique(self.levels[(self.owned > 0) & (self.levels < np.float32(self.sure))])
        levels = np.append(levels, np.float32(self.sure))
        if self.recall(float(levels[0]))[which] < target:
            return None
        low, high = 0, len(levels)
        while high - low > 1:
            middle = (low + high) // 2
            if self.recall(float(levels[middle]))[which] >= target:
                low = middle
            else:
                high = middle
        return float(levels[low])


def _design_effect(owned: Rows) -> float:
    """How many pairs are seen at once, on average over the pairs."""
    pairs = float(owned.sum())
    return float((owned.astype(np.float64) ** 2).sum()) / pairs if pairs else 1.0
