"""A linear model over random cosines of the features: cheap, smooth, non-linear."""

import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from learners.vectors import Vector, Vectors, scale_of

KEPT, EACH = 256, 8  # rows kept to scale by, and of how many events one is kept
MEMORY = 2000  # labels over which the label's mean and variance are taken, about
FEW = 10  # labels before their steps are clipped
FAR = 10.0  # spreads beyond which a value moves means and deviations no further
CLIP = 4.0  # standard deviations
BIAS = 0.3  # the last column of every row of waves


class _Waves:
    """Scales vectors and turns them into waves ``cos(w . z + b)``: w Gaussian, b uniform; then a constant."""

    def __init__(self, waves: int, gamma: float, seed: int) -> None:
        self.waves, self.gamma, self.seed = waves, gamma, seed
        self.vectors = Vectors()
        self._n = 0
        self._kept, self._places = np.zeros((0, KEPT), np.float32), 0
        self._centre, self._inverse = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self._reach = np.float32(0.0)  # what z is multiplied by: the more columns live, the less each counts
        self._direction = np.zeros((0, waves), np.float32)
        # RandomState's numbers never change between versions of numpy
        self._phase = np.random.RandomState(seed).uniform(0.0, math.tau, waves).astype(np.float32)
        self._last: tuple[bytes, Vector] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: None if name == "_last" else value for name, value in self.__dict__.items()}

    def ask(self, x: dict[Any, Any]) -> Vector:
        """Return the waves of an event, shape (waves + 1,)."""
        return self._waves(self.vectors.vector(x, self._centre))

    def enter(self, x: dict[Any, Any]) -> tuple[Vector, Vector]:
        """Make room for new columns; returns the vector and the waves of an event."""
        vector = self.vectors.plain(x)
        if vector is None:
            if self.vectors.grow(x):
                self._widen()
            vector = self.vectors.vector(x, self._centre)
        return vector, self._waves(vector)

    def _waves(self, vector: Vector) -> Vector:
        key = vector.tobytes()  # by value: dicts are mutated, and addresses used again
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        z = (vector - self._centre) * self._inverse
        np.minimum(np.maximum(z, -CLIP, out=z), CLIP, out=z)
        z *= self._reach
        waves = np.empty(self.waves + 1, np.float32)
        inside = waves[:-1]
        np.dot(z, self._direction, out=inside)
        inside += self._phase
        np.cos(inside, out=inside)
        inside *= math.sqrt(2.0 / self.waves)
        waves[-1] = BIAS
        self._last = key, waves
        return waves

    def note(self, vector: Vector) -> None:
        """Keep a row now and then, and take means and deviations from those kept."""
        n = self._n
        if n < KEPT or n % EACH == 0:
            self._kept[:, self._places % KEPT] = vector
            self._places += 1
        self._n = n = n + 1
        if n % 50 == 0 or (n <= 100 and n % 5 == 0) or n == 2:
            self._measure()

    def _measure(self) -> None:
        kept = self._kept[:, : min(self._places, KEPT)]
        scale = scale_of(kept)
        shift = self.vectors.move(scale)
        if shift is not None:
            kept -= shift[:, None]
            scale = scale._replace(centre=scale.centre - shift)
        far = FAR * scale.spread
        calm = np.clip(kept, (scale.centre - far)[:, None], (scale.centre + far)[:, None])
        mean, spread = calm.mean(axis=1, dtype=np.float64), calm.std(axis=1, dtype=np.float64)
        live = spread > 0
        self._centre = np.where(self.vectors.numeric, mean, 0.0).astype(np.float32)
        self._inverse = np.divide(1, spread, out=np.zeros_like(spread), where=live).astype(np.float32)
        self._reach = np.float32(math.sqrt(2.0 * self.gamma / max(int(np.count_nonzero(live)), 1)))
        self._last = None

    def _widen(self) -> None:
        """Give new columns their directions, which depend on their names alone."""
        new = self.vectors.names[len(self._direction) :]
        none = np.zeros(len(new), np.float32)
        self._direction = np.concatenate([self._direction, np.stack([self._drawn(name) for name in new])])
        self._kept = np.concatenate([self._kept, np.zeros((len(new), KEPT), np.float32)])
        self._centre = np.concatenate([self._centre, none])
        self._inverse = np.concatenate([self._inverse, none])

    def _drawn(self, name: str) -> Vector:
        random = np.random.RandomState([self.seed, zlib.crc32(name.encode())])
        return random.standard_normal(self.waves).astype(np.float32)


class WavesClassifier(base.Classifier):
    """Softmax regression on random Fourier features: a kernel machine at the cost of a linear model.

    ``P = softmax(theta . phi)``, ``phi_j = sqrt(2/D) cos(sqrt(2 gamma / m) w_j . z + b_j)``; w Gaussian, b
    uniform, z the m scaled features that vary, clipped at 4 deviations; one step of SGD for each
    label. Since phi is bounded, so is each step.

    Takes numbers, booleans and text (a column for each value: at most 128 of a feature, 512 in all). A
    number that is missing or not finite counts as the mean, a text without a column as none.

    Parameters
    ----------
    waves
        How many (D above).
    gamma
        How fast they turn: the width of the kernel ``exp(-gamma |z - z'|^2 / m)``.
    learning_rate
        Of the gradient steps.
    seed
        Of directions and phases.

    References
    ----------
    Rahimi and Recht (2007). Random features for large-scale kernel machines. NeurIPS.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> evaluate.progressive_val_score(datasets.Phishing(), WavesClassifier(), metrics.Accuracy())
    Accuracy: 88.79%
    """

    def __init__(
        self, waves: int = 256, gamma: float = 1.0, learning_rate: float = 1.0, seed: int = 1
    ) -> None:
        self.waves, self.gamma, self.learning_rate, self.seed = waves, gamma, learning_rate, seed
        self._features = _Waves(waves, gamma, seed)
        self._codes: dict[Any, int] = {}
        self._theta = np.zeros((0, waves + 1), np.float32)  # a row for each class

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return a probability for each class seen, or ``{}`` before the first label."""
        if not self._codes:
            return {}
        return dict(zip(self._codes, _softmax(self._theta @ self._features.ask(x)), strict=True))

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Take a step of gradient descent on the log loss."""
        vector, waves = self._features.enter(x)
        if y not in self._codes:
            self._codes[y] = len(self._codes)
            self._theta = np.concatenate([self._theta, np.zeros((1, self.waves + 1), np.float32)])
        steps = _softmax(self._theta @ waves)
        steps[self._codes[y]] -= 1.0
        self._theta -= np.multiply.outer((self.learning_rate * np.array(steps)).astype(np.float32), waves)
        self._features.note(vector)


def _softmax(scores: NDArray[np.float32]) -> list[float]:
    given: list[float] = scores.tolist()
    highest = max(given)
    powers = [math.exp(score - highest) for score in given]
    total = sum(powers)
    return [power / total for power in powers]


class WavesRegressor(base.Regressor):
    """Linear regression on random Fourier features, of the scaled label; see `WavesClassifier`.

    Each step is normalised by the squared length of the waves (NLMS) and the error clipped, and so is the
    answer: within ``CLIP`` standard deviations of the labels' mean. It cannot diverge.

    Parameters
    ----------
    waves, gamma, seed
        See `WavesClassifier`.
    learning_rate
        The share of an error that a step takes away, in (0, 2).

    References
    ----------
    Rahimi and Recht (2007). Random features for large-scale kernel machines. NeurIPS.
    Nagumo and Noda (1967). A learning method for system identification. IEEE TAC (NLMS).

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> evaluate.progressive_val_score(datasets.TrumpApproval(), WavesRegressor(), metrics.MAE())
    MAE: 0.293611
    """

    def __init__(
        self, waves: int = 256, gamma: float = 1.0, learning_rate: float = 0.6, seed: int = 1
    ) -> None:
        self.waves, self.gamma, self.learning_rate, self.seed = waves, gamma, learning_rate, seed
        self._features = _Waves(waves, gamma, seed)
        self._theta = np.zeros(waves + 1, np.float32)
        self._n, self._mean, self._variance = 0, 0.0, 0.0

    def predict_one(self, x: dict[Any, Any]) -> float | None:  # type: ignore[override]
        """Return the prediction, or None before the first label."""
        if not self._n:
            return None
        score = float(self._theta @ self._features.ask(x))
        return self._mean + max(-CLIP, min(score, CLIP)) * math.sqrt(self._variance)

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Take a normalised step; a label that is not finite is passed over."""
        if not math.isfinite(y):
            return
        vector, waves = self._features.enter(x)
        self._scale(float(y))
        if self._variance > 0.0:
            truth = (y - self._mean) / math.sqrt(self._variance)
            error = max(-CLIP, min(truth, CLIP)) - float(self._theta @ waves)
            step = self.learning_rate * max(-CLIP, min(error, CLIP)) / (1.0 + BIAS**2)
            self._theta += np.float32(step) * waves
        self._features.note(vector)

    def _scale(self, y: float) -> None:
        """Move the label's mean and variance."""
        self._n += 1
        if self._n == 1:
            self._mean = y
            return
        step, delta = 1.0 / min(self._n, MEMORY), y - self._mean
        far = FAR * math.sqrt(self._variance)
        if self._n > FEW and far > 0.0:
            delta = max(-far, min(delta, far))
        self._mean += step * delta
        self._variance += step * ((1.0 - step) * delta * delta - self._variance)
