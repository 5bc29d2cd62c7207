"""What train, calibrate and evaluate print."""

from __future__ import annotations

from sbert_cluster.cli.narrate import Narrator, print_json
from sbert_cluster.pipeline.material import TrainResult
from sbert_cluster.training.card import said_calibration, said_gain


class TrainingNarrator(Narrator):
    """Tells people on stderr, and programs on stdout, about labels and models."""

    def tell(self, sentence: str) -> None:
        """Say a sentence, unless nothing is to be said."""
        if not self._quiet:
            self._say(sentence)

    def show_training(self, result: TrainResult) -> None:
        """Sum up a training."""
        if self._json:
            print_json(result.manifest.to_dict())
        for one in result.held_out:
            if one.gain:
                self.tell(f"{one.file}, {one.rows:,} rows held out: {said_gain(one.gain)}")
            for name, value in one.after.items():
                self.tell(f"  {name:<20} {one.before[name]:8.4f} → {value:8.4f}")
        if result.calibration:
            self.tell(said_calibration(result.calibration))
        self.tell(f"model → {result.output}")
