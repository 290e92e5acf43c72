"""How often a snapshot is taken: so seldom that all of them cost a small share of processor time."""

from typing import NamedTuple

SHARE = 0.03  # of one core, for all partitions of a worker together


class Pace(NamedTuple):
    """The time between two snapshots of a partition.

    Attributes
    ----------
    every
        Seconds, at least.
    share
        Of one core's time that snapshots may cost at most.
    """

    every: float
    share: float = SHARE

    def wait(self, cost: float, partitions: int) -> float:
        """Return the seconds from the end of a snapshot until the next of its partition.

        Parameters
        ----------
        cost
            Seconds of processor time that this one took: encoding, writing.
        partitions
            How many take snapshots side by side.

        Examples
        --------
        >>> Pace(1.0).wait(0.002, 4), Pace(1.0).wait(0.6, 1)
        (1.0, 20.0)
        """
        return max(self.every, cost * partitions / self.share)
