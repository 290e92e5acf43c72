"""Twenty thousand mutants among good events; ``make fuzz`` takes ten times as many, each time others."""

from tests.fuzz.campaign import run


def test_mutants_change_nothing_for_good_events() -> None:
    """Nothing stops, all is accounted for, no model sees anything bad, good answers stay the same."""
    result = run(seed=1, mutants=20_000)
    assert result.counts["mutants"] == 20_000
    refused = {name for name in result.counts if name.startswith("dead letter: ")}
    reasons = ("contract", "envelope", "label", "schema_version", "timestamp", "too_large", "undecodable")
    assert refused == {f"dead letter: {reason}" for reason in reasons}
    assert result.answers > 3000
