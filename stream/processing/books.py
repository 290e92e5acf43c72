"""The books: every input counted where it is read, every outcome where it leaves."""

from msgspec import Struct


class Books(Struct):
    """Counts of one Processor since its first record.

    At any moment, for events: ``events == predicted + refused + duplicate``; for labels, those inside
    events included: ``labels == learned + scored_only + duplicate_label + late + unmatched + unavailable +
    refused_label + early``.
    """

    events: int = 0
    predicted: int = 0
    refused: int = 0
    duplicate: int = 0
    labels: int = 0
    learned: int = 0
    scored_only: int = 0
    duplicate_label: int = 0
    late: int = 0
    unmatched: int = 0
    unavailable: int = 0
    refused_label: int = 0
    early: int = 0  # waiting for their event: goes down again
    control: int = 0
    expired: int = 0

    @property
    def unaccounted(self) -> int:
        """Inputs minus outcomes: 0, or a bug."""
        events = self.events - self.predicted - self.refused - self.duplicate
        labels = self.labels - (
            self.learned
            + self.scored_only
            + self.duplicate_label
            + self.late
            + self.unmatched
            + self.unavailable
            + self.refused_label
            + self.early
        )
        return abs(events) + abs(labels)
