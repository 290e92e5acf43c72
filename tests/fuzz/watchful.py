"""A classifier that looks at everything it is shown, and says no to what should never have reached it."""

import math
from typing import Any

from river import base, linear_model, preprocessing

from learners.features import Only

ALLOWED: dict[str, tuple[type, ...]] = {
    "amount": (float,), "steady": (float,), "count": (int,), "age": (float,), "new": (bool,),
    "country": (str,), "shop": (str,), "note": (str,), "at": (int, str),
}  # fmt: skip


class Watchful(base.Classifier):
    """Logistic regression behind a guard that knows the contract by heart, not from the definition."""

    def __init__(self) -> None:
        numbers = Only("amount", "steady", "age", "count")
        self.model = numbers | preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn, after a look."""
        look(x)
        if type(y) is not bool:
            raise PoisonedError(f"label {y!r}")
        self.model.learn_one(x, y)

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[bool, float]:
        """Answer, after a look."""
        look(x)
        return self.model.predict_proba_one(x)


class PoisonedError(AssertionError):
    """Something bad has reached a model."""


def look(x: dict[Any, Any]) -> None:
    """Check features against the contract that `tests.fuzz.campaign` declares."""
    if not {"amount", "steady", "new", "country"} <= x.keys():
        raise PoisonedError(f"missing: {x!r}")
    for name, value in x.items():
        if type(value) not in ALLOWED.get(name, ()):
            raise PoisonedError(f"{name!r} of type {type(value).__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise PoisonedError(f"{name} = {value}")
        if isinstance(value, str):
            value.encode()
    limits = (
        0 <= x["amount"] <= 1000,
        abs(x["steady"]) <= 1e12,
        -1 <= x.get("count", 0) <= 50,
        0 <= x.get("age", 40.0) <= 120,
        x["country"] in ("CH", "DE", "FR"),
        len(x.get("shop", "")) <= 4096,
        len(x.get("note", "")) <= 4096,
    )
    if not all(limits):
        raise PoisonedError(f"out of contract: {x!r}")
