"""Scores of a replay: the metrics of one member over all the labels of a run.

River's metrics are updated label by label; what they cannot say afterwards (windows, comparison on the
same labels, average precision) is computed at the end from one compact number for each answer.
"""

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import metrics

from learners.tasks import str_name

Floats = NDArray[np.float64]

PR_AUC_CLASSES = 32  # with more classes than this no probabilities are kept, and there is no PR-AUC
SILENT = -1


def finite(value: Any) -> float | None:
    """Return the number as a float, or None for what JSON cannot write.

    >>> finite(0.5), finite(float("nan"))
    (0.5, None)
    """
    return float(value) if value is not None and math.isfinite(value) else None


def average_precision(truth: NDArray[np.bool_], scores: Floats) -> float | None:
    """Area under the precision-recall curve, as average precision.

    The sum over the distinct scores, from the highest down, of precision times the gain in recall:
    equal scores are one threshold, and nothing is interpolated.

    Parameters
    ----------
    truth
        Which answers were of the class; shape (n,).
    scores
        The probability each answer gave the class; shape (n,).

    Returns
    -------
    float | None
        Between 0 and 1; None when no answer was of the class.

    References
    ----------
    M. Zhu, *Recall, precision and average precision*, University of Waterloo, 2004.

    Examples
    --------
    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    0.8333333333333333
    """
    positives = int(np.count_nonzero(truth))
    if positives == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # where each run of equals ends
    found = np.cumsum(truth[order])[last]
    gain = np.diff(found, prepend=0) / positives
    return float(np.sum(gain * found / (last + 1)))


class ClassScores:
    """Scores of a classifier.

    Kept: one byte for each label, and 8 bytes for each probability answered (binary: one an answer,
    multiclass: one for each class).

    Parameters
    ----------
    binary
        Whether an answer is the probability of the positive class (labels are then booleans) or a dict
        of class to probability.
    since
        How many labels had come before it was first asked.
    hard
        Its answers are bare classes: no log loss, no PR-AUC.
    """

    def __init__(self, binary: bool, since: int = 0, *, hard: bool = False) -> None:
        self.binary, self.since, self.hard = binary, since, hard
        self.confusion = metrics.ConfusionMatrix()
        self.log_loss: Any = metrics.LogLoss() if binary else metrics.CrossEntropy()
        self.hits = array("b")
        self.probabilities: dict[Any, array[float]] | None = {True: array("d")} if binary else {}

    @property
    def scored(self) -> int:
        """Labelled events it had answered."""
        return int(self.confusion.n_samples)

    def pad(self, labels: int) -> None:
        """Be silent up to this many labels of the run."""
        self.hits.extend([SILENT] * (labels - self.since - len(self.hits)))

    def add(self, label: Any, answer: Any) -> None:
        """Score one answer; None, an empty one or one that is not finite is silence.

        The predicted class is the one River's `predict_one` names: the first of the likeliest, which
        for a probability of exactly .5 is the negative class.
        """
        predicted = self._predicted(answer)
        if predicted is None:
            self.hits.append(SILENT)
            return
        if not self.hard:
            self._keep(label, answer)
        self.confusion.update(label, predicted)
        self.hits.append(predicted == label)

    def _predicted(self, answer: Any) -> Any:
        if self.hard or answer is None:
            return answer
        if self.binary:
            return bool(answer > 0.5) if math.isfinite(answer) else None
        if not answer or not all(map(math.isfinite, answer.values())):
            return None
        return max(answer, key=answer.__getitem__)

    def _keep(self, label: Any, answer: Any) -> None:
        columns = self.probabilities
        if self.binary:
            self.log_loss.update(label, answer)
            columns[True].append(answer)  # type: ignore[index]
            return
        # River passes over a label the answer does not name; here that is a probability of 0
        self.log_loss.update(label, {label: answer.get(label, 0.0)})
        if columns is None:
            return
        for name in answer.keys() - columns.keys():
            columns[name] = array("d", bytes(8 * self.scored))
        if len(columns) > PR_AUC_CLASSES:
            self.probabilities = None
            return
        for name, column in columns.items():
            column.append(answer.get(name, 0.0))

    def values(self, labels: NDArray[Any]) -> Floats:
        """Return 1 where it was right, 0 where wrong, NaN where silent; shape (labels,)."""
        values = np.full(len(labels), np.nan)
        hits = np.asarray(self.hits)
        answered = hits != SILENT
        values[self.since : self.since + len(hits)][answered] = hits[answered]
        return values

    def result(self, labels: NDArray[Any], classes: dict[Any, str]) -> dict[str, Any]:
        """Return every metric, for JSON.

        Parameters
        ----------
        labels
            The labels of the run, as positions in ``classes``; shape (labels,).
        classes
            The classes and how to show them, in order.
        """
        matrix = self.confusion
        matrix_of: dict[Any, dict[Any, float]] = {
            name: matrix.data.get(name, {}) for name in classes
        }  # reading must not add cells
        pr_auc = self._pr_auc(labels, classes)
        per_class = {
            shown: {
                "precision": finite(metrics.Precision(cm=matrix, pos_val=name).get()),
                "recall": finite(metrics.Recall(cm=matrix, pos_val=name).get()),
                "f1": finite(metrics.F1(cm=matrix, pos_val=name).get()),
                "support": int(sum(matrix_of[name].values())),
                **({"pr_auc": pr_auc[name]} if pr_auc else {}),
            }
            for name, shown in classes.items()
        }
        result: dict[str, Any] = {
            "scored": self.scored,
            "coverage": self.scored / len(labels) if len(labels) else None,
            "since": self.since,
            "accuracy": None,
            "balanced_accuracy": None,
            "kappa": None,
        }
        if self.scored:
            result["accuracy"] = finite(metrics.Accuracy(cm=matrix).get())
            result["balanced_accuracy"] = finite(metrics.BalancedAccuracy(cm=matrix).get())
            result["kappa"] = finite(metrics.CohenKappa(cm=matrix).get())
        if not self.hard:
            result["log_loss"] = finite(self.log_loss.get()) if self.scored else None
            known = [v for v in pr_auc.values() if v is not None]
            if self.binary:
                result["pr_auc"] = pr_auc.get(True)
            else:
                result["pr_auc"] = sum(known) / len(known) if known else None
        result["per_class"] = per_class
        if len(classes) <= PR_AUC_CLASSES:
            result["confusion"] = {
                classes[true]: {classes.get(c, str_name(c)): int(n) for c, n in row.items() if n}
                for true, row in matrix_of.items()
            }
        return result

    def _pr_auc(self, labels: NDArray[Any], classes: dict[Any, str]) -> dict[Any, float | None]:
        """Average precision by class, one against the rest; empty when it does not apply."""
        if self.hard or self.probabilities is None or not self.scored:
            return {}
        hits = np.asarray(self.hits)
        answered = labels[self.since : self.since + len(hits)][hits != SILENT]
        found: dict[Any, float | None] = {}
        for code, name in enumerate(classes):
            if self.binary and name is False:
                column = 1.0 - np.asarray(self.probabilities[True])
            elif name in self.probabilities:
                column = np.asarray(self.probabilities[name])
            else:
                column = np.zeros(len(answered))
            found[name] = average_precision(answered == code, column)
        return found


class NumberScores:
    """Scores of a regressor. Kept: 8 bytes for each label.

    Parameters
    ----------
    since
        How many labels had come before it was first asked.
    """

    def __init__(self, since: int = 0) -> None:
        self.since, self.scored = since, 0
        self.metrics = {"mae": metrics.MAE(), "rmse": metrics.RMSE(), "r2": metrics.R2()}
        self.too_large = False
        self.answers = array("d")

    def pad(self, labels: int) -> None:
        """Be silent up to this many labels of the run."""
        self.answers.extend([math.nan] * (labels - self.since - len(self.answers)))

    def add(self, label: float, answer: float | None) -> None:
        """Score one answer; None or one that is not finite is silence."""
        if answer is None or not math.isfinite(answer):
            self.answers.append(math.nan)
            return
        self.scored += 1
        self.answers.append(answer)
        for metric in self.metrics.values():
            try:
                metric.update(label, answer)
            except OverflowError:  # the square of a diverged answer is no float: no such metric then
                self.too_large = True

    def values(self, labels: NDArray[Any]) -> Floats:
        """Return the absolute errors, NaN where silent; shape (labels,)."""
        values = np.full(len(labels), np.nan)
        answers = np.asarray(self.answers)
        span = slice(self.since, self.since + len(answers))
        with np.errstate(over="ignore"):
            values[span] = np.abs(answers - labels[span])
        return values

    def result(self, labels: NDArray[Any]) -> dict[str, Any]:
        """Return every metric, for JSON; None where it is not defined or not finite."""
        result: dict[str, Any] = {
            "scored": self.scored,
            "coverage": self.scored / len(labels) if len(labels) else None,
            "since": self.since,
        }
        for name, metric in self.metrics.items():
            lost = not self.scored or (name != "mae" and self.too_large)
            result[name] = None if lost else finite(metric.get())
        return result


Scores = ClassScores | NumberScores


def paired(own: Floats, other: Floats) -> tuple[int, float, float]:
    """Return how many labels both answered, and the mean value of each over those.

    >>> paired(np.array([1.0, 0.0, np.nan]), np.array([1.0, 1.0, 0.0]))
    (2, 0.5, 1.0)
    """
    both = ~(np.isnan(own) | np.isnan(other))
    n = int(np.count_nonzero(both))
    if not n:
        return 0, math.nan, math.nan
    with np.errstate(over="ignore"):
        return n, float(own[both].mean()), float(other[both].mean())


def kappa_temporal(own: Floats, no_change: Floats) -> float | None:
    """How much of what no-change gets wrong was got right, on the labels both answered.

    1 is perfect, 0 as good as repeating the last label, below 0 worse. None where it is not defined.

    References
    ----------
    A. Bifet, J. Read, I. Zliobaite, B. Pfahringer, G. Holmes, *Pitfalls in benchmarking data stream
    classification and how to avoid them*, ECML PKDD 2013.
    """
    _, accuracy, persistent = paired(own, no_change)
    return finite((accuracy - persistent) / (1.0 - persistent)) if persistent < 1.0 else None


def windowed(
    values: Floats, ends: Sequence[int], window: int, classes: NDArray[Any] | None = None
) -> list[float | None]:
    """Return the mean of the last ``window`` values at each of ``ends``.

    Parameters
    ----------
    values
        One for each label, NaN where silent; shape (labels,).
    ends
        Numbers of labels.
    classes
        Given the labels as small integers, the mean over classes of the mean within the class:
        for hits, balanced accuracy.

    Returns
    -------
    list[float | None]
        None where fewer than a tenth of the window (or 10) were answered.
    """
    need = min(window, max(10, window // 10))
    means: list[float | None] = []
    for end in ends:
        part = values[max(0, end - window) : end]
        answered = ~np.isnan(part)
        if np.count_nonzero(answered) < min(need, len(part)):
            means.append(None)
            continue
        part = part[answered]
        with np.errstate(over="ignore"):
            if classes is None:
                mean = part.mean()
            else:
                of = classes[max(0, end - window) : end][answered]
                count = np.bincount(of)
                seen = count > 0
                mean = (np.bincount(of, weights=part)[seen] / count[seen]).mean()
        means.append(finite(mean))
    return means


def class_names(classes: Sequence[Any], positive: Any = None) -> dict[Any, str]:
    """Return internal classes and how to show them; with a positive class the internal ones are booleans.

    >>> class_names(["legit", "fraud"], "fraud")
    {False: 'legit', True: 'fraud'}
    """
    if positive is None:
        return {name: str_name(name) for name in classes}
    negative = next(name for name in classes if name != positive)
    return {False: str_name(negative), True: str_name(positive)}
