"""The books: every input counted where it is read, every outcome where it leaves."""

from msgspec import Struct, field

from stream.messages import DeadLetter, Output, Reason, Source

_EVENTS, _LABELS = Source.EVENTS.value, Source.LABELS.value
_ANSWERED = (Reason.CONTRACT, Reason.TIMESTAMP)  # of an event: copies of what a rule has answered


class Books(Struct):
    """Counts of one Processor since its first record.

    At any moment, for events: ``events == predicted + refused + duplicate``; for labels, those inside
    events included: ``labels == learned + scored_only + duplicate_label + late + unmatched + unavailable +
    refused_label + early``. What leaves on a topic is counted from the outputs alone (`leave`), and knows
    nothing of what was counted at the decoder.
    """

    events: int = 0
    predicted: int = 0
    refused: int = 0
    duplicate: int = 0
    labels: int = 0
    learned: int = 0
    scored_only: int = 0
    relabelled: int = 0  # replaced an earlier label in the scores
    duplicate_label: int = 0
    late: int = 0
    unmatched: int = 0
    unavailable: int = 0
    refused_label: int = 0
    early: int = 0  # waiting for their event: goes down again
    control: int = 0
    expired: int = 0  # predictions, not labels: their time was over, or too many waited
    given_up: int = 0  # of the expired, those that were too many
    assumed: int = 0  # of the expired, taken to have the declared label
    relearned: int = 0  # of the relabelled, learned again
    corrected: int = 0  # of the duplicates, those that made good an event which had broken the contract
    dead_letters: dict[str, int] = field(default_factory=dict)  # by reason
    repairs: dict[str, int] = field(default_factory=dict)  # by flag: filled:age, clipped:amount, ...

    def leave(self, source: str, output: Output) -> None:
        """Count a prediction or a dead letter that leaves because of an input."""
        message = output.message
        if not isinstance(message, DeadLetter):
            self.predicted += output.topic == "predictions"
            return
        reason = message.reason
        self.dead_letters[reason] = self.dead_letters.get(reason, 0) + 1
        if source == _LABELS or (source == _EVENTS and reason is Reason.LABEL):
            self.refused_label += 1
        elif source == _EVENTS and reason not in _ANSWERED:
            self.refused += 1

    @property
    def unaccounted(self) -> int:
        """Inputs minus outcomes: 0, or a bug."""
        events = self.events - self.predicted - self.refused - self.duplicate
        labels = self.labels - (
            self.learned
            + self.scored_only
            + self.relabelled
            + self.duplicate_label
            + self.late
            + self.unmatched
            + self.unavailable
            + self.refused_label
            + self.early
        )
        return abs(events) + abs(labels)
