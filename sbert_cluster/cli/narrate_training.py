"""What train, calibrate and evaluate print."""

from __future__ import annotations

import sys

from sbert_cluster.cli.narrate import Narrator, print_json
from sbert_cluster.pipeline.calibrate import CalibrateResult, Survey
from sbert_cluster.pipeline.evaluate import EvaluateResult
from sbert_cluster.pipeline.material import TrainResult
from sbert_cluster.report.escape import shorten, visible
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

    def show_calibration(self, result: CalibrateResult, saved_in: str | None) -> None:
        """Show a threshold, and the curve that it lies on."""
        if self._json:
            print_json(result.to_dict())
        for note in result.notes:
            self.tell(note)
        self.tell("recall  precision      F1  threshold")
        for point in result.points[:: max(1, len(result.points) // 12)]:
            bar = "█" * round(30 * point.precision)
            self.tell(
                f"{point.recall:6.3f} {point.precision:10.3f} {point.f1:7.3f} "
                f"{point.threshold:10.3f}  {bar}"
            )
        self.tell(said_calibration(result.calibration))
        if saved_in:
            self.tell(f"stored with the model: dedup --model {saved_in} uses it")

    def show_survey(self, survey: Survey) -> None:
        """Show where similarities lie, with some pairs of each band."""
        if self._json:
            print_json(survey.to_dict())
        most = max(band.rows for band in survey.bands)
        for band in survey.bands:
            bar = "█" * round(30 * band.rows / most)
            self.tell(f"{band.low:5.2f} to {band.high:4.2f} {band.rows:7,} texts  {bar}")
            for similarity, left, right in band.pairs:
                self.tell(f"    {similarity:.3f}  {shorten(left, 70)}")
                self.tell(f"         ≈ {shorten(right, 70)}")
        self.tell(
            f"two texts at random: {survey.random_mean:.2f} on average, one pair in a hundred "
            f"above {survey.random_high:.2f}"
        )
        if survey.is_crowded:
            self.tell("! even unrelated texts are similar to this model: choose a high threshold")

    def show_evaluation(self, result: EvaluateResult) -> None:
        """Print scores as Markdown on stdout, or as JSON."""
        for note in result.notes:
            self.tell(note)
        if self._json:
            print_json(result.to_dict())
            return
        for line in result.to_markdown().splitlines():
            sys.stdout.write(visible(line) + "\n")
        for contender, value in result.averages().items():
            self.tell(f"average of {contender}: {value:.4g}")
