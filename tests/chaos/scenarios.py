"""What is done to a deployment under load: scenarios as data."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from stream.adapters import failpoints

Store = Literal["files", "redis"]
What = Literal[
    "kill",  # kill -9 of a worker, turn and turn about; it is started again
    "fail",  # a worker that ends at a failpoint; it is started again
    "pause",  # SIGSTOP of a worker for `seconds`, then SIGCONT
    "freeze",  # SIGSTOP of a worker until others answer for all it held, then SIGCONT
    "join",  # one more worker joins and leaves again
    "stop",  # SIGTERM of a worker; it is started again
    "broker-kill",  # kill -9 of a broker, which is away for `seconds`
    "fill-disk",  # the disk under the file store is full for `seconds`
    "clock-back",  # the wall clock of all workers goes back an hour
    "redis-kill",  # kill -9 of Redis, which is away for `seconds`
    "redis-full",  # Redis refuses writes for want of memory for `seconds`
]


# A pool of two models answers, not one.
BLEND = {
    "champion": "blend",
    "models": {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}},
}


class Act(NamedTuple):
    """One blow; after each, answers must come again before the next.

    Attributes
    ----------
    what
        See `What`.
    times
        How often.
    seconds
        How long it lasts, where it does.
    point
        The failpoint, with ``fail``.
    """

    what: What
    times: int = 1
    seconds: float = 0.0
    point: str = ""


class Scenario(NamedTuple):
    """A deployment under load, and what is done to it.

    Attributes
    ----------
    name
        In the table.
    acts
        One after the other.
    store
        Where snapshots are kept.
    brokers
        Nodes of Kafka; more than one: topics have as many copies.
    definition
        What differs from the harness's own.
    transactions
        Whether outputs are written in transactions.
    """

    name: str
    acts: tuple[Act, ...]
    store: Store = "files"
    brokers: int = 1
    definition: Mapping[str, object] = {}
    transactions: bool = False


def short(store: Store) -> list[Scenario]:
    """Return what runs with every test: five kills; with files also all failpoints, a pause, a stop."""
    if store == "redis":
        return [Scenario("kill -9, a blend", (Act("kill", 5),), store, definition=BLEND)]
    kills = Scenario("kill -9", (Act("kill", 5),), store)
    points = tuple(Act("fail", point=point) for point in failpoints.NAMES)
    return [
        kills,
        Scenario("failpoints", points, store),
        Scenario(
            "SIGSTOP, join, SIGTERM, a blend",
            (Act("pause", seconds=8), Act("join"), Act("stop")),
            store,
            definition=BLEND,
        ),
    ]


def whole(store: Store, kills: int) -> list[Scenario]:
    """Return everything, for an hour or so."""
    points = tuple(Act("fail", 5, point=point) for point in failpoints.NAMES)
    outside = {
        "files": [
            Scenario("disk full for 20 s", (Act("fill-disk", seconds=20), Act("kill", 2)), store),
        ],
        "redis": [
            Scenario("Redis killed, away 30 s", (Act("redis-kill", seconds=30), Act("kill", 2)), store),
            Scenario("Redis out of memory", (Act("redis-full", seconds=20), Act("kill", 2)), store),
        ],
    }[store]
    zombies = (Act("pause", 3, seconds=9), Act("join", 3), Act("kill", 5))
    return [
        Scenario(f"{kills} x kill -9", (Act("kill", kills),), store),
        Scenario("transactions: SIGSTOP, joins, kills", zombies, store, definition=BLEND, transactions=True),
        Scenario("20 x kill -9, a blend", (Act("kill", 20),), store, definition=BLEND),
        Scenario("failpoints, 5 each", points, store),
        Scenario("SIGSTOP past the session", (Act("pause", 3, seconds=9),), store),
        Scenario("SIGSTOP until others answer", (Act("freeze", 3),), store),
        Scenario("10 joins and leaves", (Act("join", 10),), store),
        Scenario("SIGTERM", (Act("stop", 5),), store),
        Scenario("broker killed 10 times", (Act("broker-kill", 10, seconds=6),), store),
        Scenario("3 brokers, one killed", (Act("broker-kill", 3, seconds=8),), store, brokers=3),
        Scenario("clock back an hour", (Act("clock-back"), Act("kill", 2)), store),
        *outside,
    ]
