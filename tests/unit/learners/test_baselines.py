"""Baselines say what is simplest to say, in bounded memory, and nothing before the first label."""

import pytest

from learners.baselines import ClassFrequencies, LastValue, Majority, MeanBy, NoChange


@pytest.mark.parametrize("model", [ClassFrequencies(), Majority(), NoChange()])
def test_classifiers_are_silent_before_the_first_label(model):
    """There is nothing to go by: ``{}`` and None."""
    assert model.predict_proba_one({}) == {}
    assert model.predict_one({}) is None


@pytest.mark.parametrize("model", [LastValue(), MeanBy(), MeanBy(by=("shop",), hour_of="at")])
def test_regressors_are_silent_before_the_first_label(model):
    """There is nothing to go by: None."""
    assert model.predict_one({"shop": "a", "at": 0}) is None


def test_class_frequencies_follow_the_window():
    """After a window full of another class the old one keeps only its share of evenness."""
    model = ClassFrequencies(window=10, classes=("a", "b"))
    for label in "a" * 50 + "b" * 10:
        model.learn_one({}, label)

    assert model.predict_proba_one({}) == pytest.approx({"a": 0.5 / 11, "b": 10.5 / 11})


def test_class_frequencies_forget_open_classes_that_left_the_window():
    """With open classes memory is bounded by the window."""
    model = ClassFrequencies(window=5)
    for label in range(1000):
        model.learn_one({}, label)

    assert list(model.predict_proba_one({})) == [995, 996, 997, 998, 999]


def test_means_are_kept_for_a_bounded_number_of_keys():
    """Beyond the limit the key not met for longest falls back to the mean of all."""
    model = MeanBy(by=("shop",), limit=2)
    for shop, y in (("a", 1.0), ("b", 2.0), ("a", 1.0), ("c", 8.0)):
        model.learn_one({"shop": shop}, y)

    assert [model.predict_one({"shop": s}) for s in "abc"] == [1.0, 3.0, 8.0]


def test_a_mean_with_a_window_fades():
    """With a window a new level is reached, without one it is only approached."""
    fading, steady = MeanBy(window=10), MeanBy()
    for y in [0.0] * 200 + [1.0] * 50:
        fading.learn_one({}, y)
        steady.learn_one({}, y)

    assert fading.predict_one({}) > 0.99
    assert steady.predict_one({}) == pytest.approx(0.2)


def test_the_hour_of_a_time_is_part_of_the_key():
    """Milliseconds and text name the same hour; what is no time has a key of its own."""
    model = MeanBy(hour_of="at")
    for at, y in ((0, 1.0), ("1970-01-01T05:10:00Z", 5.0), ("soon", 9.0)):
        model.learn_one({"at": at}, y)

    answers = [model.predict_one({"at": at}) for at in ("2024-01-01T00:59:00", 5 * 3_600_000, "later")]
    assert answers == [1.0, 5.0, 9.0]
    assert model.predict_one({"at": "2024-01-01T12:00:00"}) == 5.0
