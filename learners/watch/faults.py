"""What a moved feature looks like: the world, or the one who sends it."""

import numpy as np

from learners.watch.tally import MISSING, REFUSED, Alarm, Floats, Profile

SAME = 0.9  # share of equal values that is a sensor standing still
OFTEN = 0.7  # share of one value above which nobody can tell whether it stands still
FEW = 6  # values at the least to tell anything from
TIMES = 2.5  # a unit differs by this factor at the least


def fault(alarm: Alarm, kind: str) -> tuple[str, str] | None:
    """Say what is wrong with a feature, if it is something a sender does rather than the world.

    Parameters
    ----------
    alarm
        Of the feature.
    kind
        Of its column: ``number``, ``category`` or ``presence``.

    Returns
    -------
    tuple of (str, str) | None
        ``is missing``, ``breaks the contract``, ``is constant``, ``is rescaled``, with numbers, but no value
        of the feature; and that value, where there is one. Or None.
    """
    if alarm.cell == MISSING:
        return f"is missing in {alarm.after:.0%} of the events (before: {alarm.before:.1%})", ""
    if alarm.cell == REFUSED:
        return f"breaks the contract in {alarm.after:.0%} of the events (before: {alarm.before:.1%})", ""
    if kind == "presence":
        return None
    # it may have begun in the middle of the block, among values that by chance looked like it
    late = alarm.values[len(alarm.values) // 2 :]
    return _stuck_or_rescaled(alarm.values, alarm, kind) or _stuck_or_rescaled(late, alarm, kind)


def _stuck_or_rescaled(seen: Floats, alarm: Alarm, kind: str) -> tuple[str, str] | None:
    if len(seen) < FEW:
        return None
    values, counts = np.unique(seen, return_counts=True)
    if counts.max() >= SAME * len(seen) and alarm.profile.top < OFTEN:
        value = float(values[counts.argmax()])
        return "is constant", f"{value:g}" if kind == "number" else alarm.words
    words = rescaled(seen[np.isfinite(seen)], alarm.profile) if kind == "number" else None
    return None if words is None else (words, "")


def rescaled(values: Floats, profile: Profile) -> str | None:
    """Say by what factor values are those of the reference, if they are, and it is as large as a unit's.

    >>> old = Profile(quartiles=[50.0, 60.0, 70.0])
    >>> rescaled(np.array([4900.0, 5300.0, 5900.0, 6300.0, 7000.0, 7300.0]), old)
    'is rescaled: about 100 times what it was'
    >>> rescaled(np.array([70.0, 75.0, 80.0, 85.0, 90.0, 95.0]), old)
    """
    if len(values) < FEW or not profile.quartiles:
        return None
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    was_low, was_middle, was_high = profile.quartiles
    if was_high <= was_low or high <= low or was_middle == 0.0:
        return None
    factor = middle / was_middle
    if factor <= 0.0 or 1.0 / TIMES < factor < TIMES:
        return None
    spread = (high - low) / (was_high - was_low) / factor
    if not 1.0 / TIMES < spread < TIMES:  # only a few values: their spread is not known well
        return None
    near = 10.0 ** round(float(np.log10(factor)))
    shown = near if 0.8 < factor / near < 1.25 else factor
    return f"is rescaled: about {shown:.3g} times what it was"
