"""What a kernel of products is made for, and what follows for its memory."""

from __future__ import annotations

from dataclasses import dataclass

from sbert_cluster.encoder.team import lines

ROWS = 32
"""Rows of a block, and outputs of a panel: what is worked on together."""
TILE = 1_024
PAIR = 2 * TILE
"""Bytes of two tiles: 32 rows of x, or 32 outputs, in one step."""


@dataclass(frozen=True)
class Shape:
    """All that the kernel is made for."""

    inputs: int
    outputs: int
    half: bool
    """Whether x, residual and result are bfloat16 rather than float32."""
    parts: int
    """Parts that a number is split into."""
    int8: bool
    """Whether products are of bytes; x is rounded to them here."""
    ending: str
    """``norm``, an activation, or nothing."""
    epsilon: float

    @property
    def blocks(self) -> int:
        """Blocks of 32 rows in a unit.

        A weight in parts does not stay in the second cache, so a panel that came serves two.
        """
        return 2 if self.parts > 1 else 1

    @property
    def rows(self) -> int:
        """Rows of a unit."""
        return ROWS * self.blocks

    @property
    def step(self) -> int:
        """Inputs of a step: a line of a tile."""
        return 64 if self.int8 else 32

    @property
    def steps(self) -> int:
        """Steps from the first input to the last."""
        return self.inputs // self.step

    @property
    def panels(self) -> int:
        """Panels of 32 outputs."""
        return self.outputs // ROWS

    @property
    def number(self) -> int:
        """Bytes of a number outside."""
        return 2 if self.half else 4

    @property
    def as_it_is(self) -> bool:
        """Whether x can be read as tiles where it lies."""
        return self.half and not self.int8

    @property
    def is_norm(self) -> bool:
        """Whether whole rows are needed."""
        return self.ending == "norm"

    @property
    def block_bytes(self) -> int:
        """Of 32 rows of x, as tiles."""
        return 0 if self.as_it_is else self.steps * self.parts * PAIR

    @property
    def line_bytes(self) -> int:
        """From one row of sums to the next."""
        return 4 * (self.outputs if self.is_norm else ROWS)

    @property
    def sums_bytes(self) -> int:
        """Of all sums that are kept at a time."""
        return (self.rows if self.is_norm else ROWS) * self.line_bytes

    @property
    def room(self) -> int:
        """Bytes of scratch for a thread: x; sums and scales, two of each; rows; tile shapes."""
        sums = 2 * (self.sums_bytes + self.scales_bytes)
        return lines(self.blocks * self.block_bytes + sums + 2 * self.row_room + 64)

    @property
    def scales_bytes(self) -> int:
        """Of the scales of a unit's rows."""
        return 4 * self.rows

    @property
    def row_room(self) -> int:
        """Of one row as float32, or of a panel's."""
        return max(4 * self.outputs, 4 * ROWS)
