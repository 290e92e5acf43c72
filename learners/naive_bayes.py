"""Naive Bayes over numbers and text at once."""

import math
from typing import Any

from river import naive_bayes


class MixedNB(naive_bayes.GaussianNB):
    """Gaussian naive Bayes whose text-valued columns are counted instead.

    ``P(v | c) = (n_cv + 1) / (n_c + k)``, with k the values of that column seen so far, plus one.
    A definition without text-valued columns gets River's `GaussianNB` itself.

    Examples
    --------
    >>> model = MixedNB()
    >>> for country, amount, y in (("CH", 1.0, False), ("CH", 2.0, False), ("XX", 9.0, True)):
    ...     model.learn_one({"country": country, "amount": amount}, y)
    >>> model.predict_one({"country": "XX", "amount": 8.0})
    True
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: dict[Any, dict[Any, dict[str, int]]] = {}  # column -> class -> value -> count
        self.values: dict[Any, set[str]] = {}  # only its size is used: sets have no fixed order

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Count the class and the text values, update the Gaussians of the numbers."""
        numbers = {}
        for name, value in x.items():
            if isinstance(value, str):
                of_class = self.counts.setdefault(name, {}).setdefault(y, {})
                of_class[value] = of_class.get(value, 0) + 1
                self.values.setdefault(name, set()).add(value)
            else:
                numbers[name] = value
        super().learn_one(numbers, y)  # type: ignore[no-untyped-call]

    def joint_log_likelihood(self, x: dict[Any, Any]) -> Any:
        """Return ``log P(c) + log P(x | c)`` for each class seen."""
        numbers = {name: value for name, value in x.items() if not isinstance(value, str)}
        likelihood: dict[Any, float] = super().joint_log_likelihood(numbers)  # type: ignore[no-untyped-call]
        for name, value in x.items():
            if isinstance(value, str) and name in self.counts:
                of_column, k = self.counts[name], len(self.values[name]) + 1
                for label in likelihood:
                    n = of_column.get(label, {}).get(value, 0)
                    likelihood[label] += math.log((n + 1) / (self.class_counts[label] + k))
        return likelihood
