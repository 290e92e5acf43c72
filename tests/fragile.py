"""A classifier that breaks, in the ways that models do."""

from typing import Any

from river import base, linear_model, preprocessing

BREAKS = 7.25  # the value of x that breaks it
NAN = float("nan")


class Fragile(base.Classifier):
    """Logistic regression behind a scaler that an odd value breaks.

    Parameters
    ----------
    how
        ``half_way``: its scaler is spoilt, then it raises. ``silently``: its scaler is spoilt, and from
        there on it answers nan. ``answering``, ``learning``: it always raises, at that.
    """

    def __init__(self, how: str = "half_way") -> None:
        self.how = how
        self.model = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn, or break."""
        if self.how == "learning":
            raise ValueError("never")
        if x["x"] == BREAKS and self.how in ("half_way", "silently"):
            self.model["StandardScaler"].learn_one({"x": NAN, "y": NAN})
            if self.how == "half_way":
                raise ValueError("half-way")
        self.model.learn_one(x, y)

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[bool, float]:
        """Answer; nan once it is spoilt."""
        if self.how == "answering":
            raise ValueError("never")
        return self.model.predict_proba_one(x)
