"""The report of a replay: numbers equal River's, pages that nothing in the data can break."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import datasets, dummy, evaluate, linear_model, metrics, naive_bayes, preprocessing
from river import stream as river_stream

from learners.definition import parse_definition
from learners.lineage import Kind, Transition
from stream.messages import Prediction
from stream.report import Report, summary
from stream.report_chart import clusters, spread, ticks, when
from stream.report_scores import PR_AUC_CLASSES, average_precision

HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>\u202e\x00'


def binary(**changes):
    return parse_definition(
        {"name": "t", "task": "binary", "features": {"x": {}}, "label": {"classes": ["no", "yes"]}, **changes}
    )


def multiclass(classes, **changes):
    label = {"classes": classes}
    return parse_definition(
        {"name": "t", "task": "multiclass", "features": {"x": {}}, "label": label, **changes}
    )


def regression():
    return parse_definition({"name": "t", "task": "regression", "features": {"x": {}}})


def prediction(i, served_by="champion:lr", **changes):
    return Prediction(
        id=str(i), timestamp=1_700_000_000_000 + i, prediction="", served_by=served_by, **changes
    )


def run(definition, rows):
    """Report rows of (label, served, members), each label at once."""
    report = Report(definition)
    for i, (label, served, members) in enumerate(rows):
        report.predicted(prediction(i))
        report.scored(i, label, served, members, str(i))
    return report


def replay(definition, data, model, ask, delay=None):
    """Report River's own question and answer stream, and learn as `progressive_val_score` does."""
    report, waiting = Report(definition), {}
    for i, x, y in river_stream.simulate_qa(data, None, delay, copy=True):
        if y is None:
            waiting[i] = ask(model, x)
            report.predicted(prediction(i))
        else:
            report.scored(i, y, waiting[i], {"lr": waiting.pop(i)}, str(i))
            model.learn_one(x, y)
    return report.finish(1.0)


class Elements(HTMLParser):
    """Notes every element, attribute and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.ids = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        self.ids += [value for name, value in attrs if name == "id"]


@pytest.mark.parametrize("delay", [None, 1, 50])
def test_binary_scores_are_rivers(delay):
    """Accuracy, log loss and the rest equal progressive_val_score, for labels at once and late."""
    parts = [
        metrics.Accuracy(), metrics.BalancedAccuracy(), metrics.CohenKappa(), metrics.Precision(),
        metrics.Recall(), metrics.F1(), metrics.LogLoss(),
    ]  # fmt: skip

    def build():
        return preprocessing.StandardScaler() | linear_model.LogisticRegression()

    result = replay(
        binary(), datasets.Phishing(), build(), lambda model, x: model.predict_proba_one(x)[True], delay
    )
    expected = [
        evaluate.progressive_val_score(datasets.Phishing(), build(), metric, delay=delay).get()
        for metric in parts
    ]
    for card in (result["served"], result["members"]["lr"]):
        yes = card["per_class"]["yes"]
        found = [card["accuracy"], card["balanced_accuracy"], card["kappa"]]
        found += [yes["precision"], yes["recall"], yes["f1"], card["log_loss"]]
        assert found == expected
    assert result["labels"] == result["events"] == result["served"]["scored"] == 1250


@pytest.mark.parametrize("delay", [None, 20])
def test_multiclass_scores_are_rivers(delay):
    """Accuracy and balanced accuracy of several classes equal progressive_val_score."""
    data = datasets.ImageSegments()
    classes = sorted({y for _, y in data})
    result = replay(
        multiclass(classes), data, naive_bayes.GaussianNB(), lambda m, x: m.predict_proba_one(x), delay
    )
    for name, metric in (("accuracy", metrics.Accuracy()), ("balanced_accuracy", metrics.BalancedAccuracy())):
        evaluate.progressive_val_score(data, naive_bayes.GaussianNB(), metric, delay=delay)
        assert result["served"][name] == pytest.approx(metric.get(), abs=1e-15)


@pytest.mark.parametrize("delay", [None, 20])
def test_regression_scores_are_rivers(delay):
    """MAE, RMSE and R2 equal progressive_val_score."""

    def build():
        return preprocessing.StandardScaler() | linear_model.LinearRegression()

    data = datasets.TrumpApproval()
    result = replay(regression(), data, build(), lambda model, x: model.predict_one(x), delay)
    for name, metric in (("mae", metrics.MAE()), ("rmse", metrics.RMSE()), ("r2", metrics.R2())):
        evaluate.progressive_val_score(data, build(), metric, delay=delay)
        assert result["served"][name] == metric.get()


def test_baselines_are_rivers():
    """Majority and no-change equal River's dummies, asked and taught as members are."""
    result = replay(
        binary(), datasets.Phishing(), dummy.PriorClassifier(), lambda m, x: m.predict_proba_one(x).get(True)
    )
    baselines, served = result["baselines"], result["served"]
    for name in ("scored", "accuracy", "balanced_accuracy", "kappa", "log_loss", "pr_auc", "per_class"):
        assert baselines["majority"][name] == served[name]
    metric = evaluate.progressive_val_score(
        datasets.Phishing(), dummy.NoChangeClassifier(), metrics.Accuracy()
    )
    assert baselines["no_change"]["accuracy"] == metric.get()
    assert "log_loss" not in result["baselines"]["no_change"]


def test_baselines_know_only_labels_that_had_come():
    """With late labels a baseline answers with what was known at the event, not at its label."""
    report = Report(regression())
    for i in range(3):
        report.predicted(prediction(i))
    for i, label in enumerate([1.0, 2.0, 3.0]):
        report.scored(i, label, 0.0, {}, str(i))
    report.predicted(prediction(3))
    report.scored(3, 7.0, 0.0, {}, "3")
    baselines = report.finish(1.0)["baselines"]
    assert (baselines["last_value"]["scored"], baselines["last_value"]["mae"]) == (1, 4.0)
    assert (baselines["mean"]["scored"], baselines["mean"]["mae"]) == (1, 5.0)


def test_baselines_without_ids_answer_at_the_label():
    """Without an event id a baseline answers with what is known when the label comes."""
    report = Report(regression())
    for i, label in enumerate([1.0, 2.0, 4.0]):
        report.scored(i, label, None, {})
    result = report.finish(0.0)
    assert result["baselines"]["last_value"]["mae"] == 1.5
    assert (result["events"], result["events_per_second"], result["served"]["mae"]) == (3, None, None)


def test_waiting_answers_are_bounded():
    """No more baseline answers wait than predictions may."""
    report = Report(binary(label={"classes": ["no", "yes"], "pending_limit": 5}))
    for i in range(20):
        report.predicted(prediction(i))
    assert len(report._waiting) == 5


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])), min_size=1, max_size=40)
)
def test_average_precision_is_its_definition(rows):
    """The vectorised sum equals precision times the gain in recall, threshold by threshold."""
    truth = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows])
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        recall = (truth & taken).sum() / max(truth.sum(), 1)
        expected += (recall - before) * (truth & taken).sum() / taken.sum()
        before = recall
    found = average_precision(truth, scores)
    assert found is None if not truth.any() else found == pytest.approx(expected)


def test_average_precision_does_not_depend_on_the_order_of_ties():
    """A constant score has the share of positives as its PR-AUC, wherever they stand."""
    for truth in ([True, False, False, False], [False, False, False, True]):
        assert average_precision(np.array(truth), np.full(4, 0.3)) == 0.25


def test_a_half_is_the_negative_class():
    """At exactly .5 the answer is the one River's logistic regression gives before it learned."""
    model = linear_model.LogisticRegression()
    assert (model.predict_proba_one({"x": 1.0})[True], model.predict_one({"x": 1.0})) == (0.5, False)
    result = run(binary(), [(False, 0.5, {}), (True, 0.5, {})]).finish(1.0)
    assert result["served"]["confusion"] == {"no": {"no": 1}, "yes": {"no": 1}}


def test_equal_probabilities_go_to_the_first_class():
    """Ties among several classes go to the first of the answer, as in River's predict_one."""
    rows = [("b", {"b": 0.5, "a": 0.5}, {}), ("b", {"a": 0.5, "b": 0.5}, {})]
    assert run(multiclass(["a", "b", "c"]), rows).finish(1.0)["served"]["accuracy"] == 0.5


def test_a_class_not_named_in_the_answer_costs_log_loss():
    """A label that the answer gives no probability is as bad as probability 0."""
    result = run(multiclass(["a", "b"]), [("b", {"a": 1.0}, {})]).finish(1.0)
    assert result["served"]["log_loss"] == pytest.approx(-math.log(1e-15))


def test_kappa_temporal():
    """Kappa temporal compares with no-change on the labels both answered."""
    labels = [False, False, True, True, False]
    answers = [0.9, 0.1, 0.9, 0.9, 0.9]  # right on 3 of the last 4; no-change on 2 of 4
    result = run(binary(), [(y, p, {}) for y, p in zip(labels, answers, strict=True)]).finish(1.0)
    assert result["served"]["kappa_temporal"] == pytest.approx((0.75 - 0.5) / 0.5)
    assert result["baselines"]["no_change"]["kappa_temporal"] == 0.0


def test_slots_come_and_go():
    """A late member, a gap and a vanished member are silence; comparisons are on common labels."""
    rows = [
        (True, 0.9, {"old": 0.9}),
        (True, 0.9, {"old": None}),
        (False, 0.9, {"new": 0.1}),
        (False, None, {"old": 0.9, "new": 0.9}),
        (True, 0.9, {"new": float("nan")}),
    ]
    result = run(binary(), rows).finish(2.0)
    old, new = result["members"]["old"], result["members"]["new"]
    assert (old["scored"], old["coverage"], old["since"], old["accuracy"]) == (2, 0.4, 0, 0.5)
    assert (new["scored"], new["coverage"], new["since"], new["accuracy"]) == (2, 0.4, 2, 0.5)
    assert new["versus_served"] == {"labels": 1, "accuracy": 1.0}
    assert result["served"]["coverage"] == 0.8
    assert result["events_per_second"] == 2.5


def test_pr_auc_of_each_class():
    """One against the rest for each class, and the mean; the positive class alone for two classes."""
    rows = [("a", {"a": 0.6, "b": 0.4}, {}), ("b", {"a": 0.7, "b": 0.2, "c": 0.1}, {}), ("c", {"c": 1.0}, {})]
    served = run(multiclass(["a", "b", "c"]), rows).finish(1.0)["served"]
    assert [served["per_class"][c]["pr_auc"] for c in "abc"] == [0.5, 0.5, 1.0]
    assert served["pr_auc"] == pytest.approx(2 / 3)
    served = run(binary(), [(True, 0.4, {}), (False, 0.3, {}), (True, 0.2, {})]).finish(1.0)["served"]
    assert served["pr_auc"] == served["per_class"]["yes"]["pr_auc"] == pytest.approx(5 / 6)


def test_many_classes_keep_no_probabilities():
    """Beyond the limit there is no PR-AUC, and no memory held for it."""
    names = [f"c{i}" for i in range(PR_AUC_CLASSES + 1)]
    report = run(multiclass(names), [(name, {name: 1.0}, {}) for name in names] * 2)
    served = report.finish(1.0)["served"]
    assert (served["pr_auc"], served["accuracy"], "confusion" in served) == (None, 1.0, False)
    assert report._served.probabilities is None


def test_open_classes_join():
    """With open classes a label not seen before joins the report."""
    rows = [("a", {"z": 1.0}, {}), ("b", {"a": 1.0}, {}), ("b", {"b": 1.0}, {})]
    result = run(multiclass("open"), rows).finish(1.0)
    assert result["classes"] == ["a", "b"]
    assert result["served"]["confusion"]["a"] == {"z": 1}


def test_a_rare_class_is_judged_by_balanced_accuracy():
    """With 1% positives the headline is not accuracy, which sees nothing."""
    report = run(binary(), [(i % 100 == 0, 0.0, {}) for i in range(2000)])
    result = report.finish(1.0)
    assert result["score"] == {"metric": "balanced_accuracy", "window": 500}
    assert set(result["curves"]["served"]) == {0.5}
    assert "balanced accuracy of 50.0%" in report.page()


def test_curves_are_means_over_the_window():
    """Each point of a curve is the mean over the window that ends there."""
    report = run(regression(), [(float(i % 2), 0.0, {"m": 1.0}) for i in range(1000)])
    result = report.finish(1.0)
    assert result["score"] == {"metric": "mae", "window": 200}
    assert result["curves"]["labels"][0] == 200
    assert result["curves"]["labels"][-1] == result["curves"]["events"][-1] == 1000
    assert result["curves"]["served"] == pytest.approx([0.5] * len(result["curves"]["labels"]), abs=0.01)


def test_the_ribbon_covers_the_run():
    """Every event is in one piece of the ribbon, and the shares of a piece are whole."""
    report = Report(binary())
    for i in range(1000):
        report.predicted(prediction(i, "rule:prior" if i < 100 or i % 7 == 0 else "champion:lr"))
    result = report.finish(1.0)
    assert [p["from"] for p in result["ribbon"][1:]] == [p["to"] for p in result["ribbon"][:-1]]
    assert (result["ribbon"][0]["from"], result["ribbon"][-1]["to"]) == (0, 1000)
    assert all(sum(p["share"].values()) == pytest.approx(1, abs=1e-3) for p in result["ribbon"])
    assert result["served_share"] == {"champion:lr": 0.772, "rule:prior": 0.228}


def test_what_is_not_finite_stays_out_of_json():
    """Diverged answers and infinite evidence leave JSON that every reader takes, and a page."""
    report = run(regression(), [(1.0, 1e200, {"inf": math.inf, "huge": 1e308}), (2.0, 2.0, {"huge": -1e308})])
    evidence = {"wealth": math.inf, "deep": [{"p": math.nan}]}
    report.transition(
        Transition(kind=Kind.FELL_BACK, timestamp=2**62, position="events:0:1", evidence=evidence)
    )
    result = report.finish(float("nan"))
    json.dumps(result, allow_nan=False)
    assert (result["served"]["rmse"], result["members"]["inf"]["scored"]) == (None, 0)
    assert result["transitions"][0]["evidence"] == {"wealth": None, "deep": [{"p": None}]}
    assert report.page()


def hostile():
    """A report with hostile text wherever text may come from the outside."""
    definition = parse_definition(
        {
            "name": "t", "task": "multiclass",
            "features": {HOSTILE: {"type": "category", "categories": [HOSTILE]}},
            "label": {"classes": [HOSTILE, "$name ${x} {y} %s"]},
        }
    )  # fmt: skip
    report = Report(definition)
    for i in range(60):
        report.predicted(prediction(i, f"rule:{HOSTILE}", flags=(f"contract:{HOSTILE}",)))
        report.scored(i, HOSTILE, {HOSTILE: 0.6, "$name ${x} {y} %s": 0.4}, {HOSTILE: {HOSTILE: 1.0}}, str(i))
    report.transition(
        Transition(
            kind=Kind.PROMOTED, timestamp=5, position=HOSTILE, slot=HOSTILE, from_version=HOSTILE,
            to_version=HOSTILE, reason=HOSTILE, evidence={HOSTILE: HOSTILE, "n": [HOSTILE]},
            requested_by=HOSTILE, command=HOSTILE,
        )
    )  # fmt: skip
    return report


def test_nothing_in_the_data_becomes_markup():
    """Hostile names, reasons and evidence are text: no element, attribute or script comes of them."""
    report = hostile()
    report.finish(1.0)
    page = report.page()
    elements = Elements(page)
    assert elements.tags.count("script") == 2
    assert not {"img", "link", "iframe", "object", "base"} & set(elements.tags)
    assert not [a for a in elements.attributes if a[1].startswith("on") or a[1] in ("src", "style")]
    assert all(value.startswith("#") for _, name, value in elements.attributes if name == "href")
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "://" not in page
    curves = re.search(r'id="curves">(.*?)</script>', page, re.DOTALL)
    assert HOSTILE in {line["name"] for line in json.loads(curves.group(1))["lines"]}


def test_only_the_pages_own_style_and_script_are_allowed():
    """The content policy names the one style and the one script by their hashes."""
    report = run(binary(), [(True, 0.9, {"lr": 0.9})] * 30)
    report.finish(1.0)
    page = report.page()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_markers_lead_to_the_list():
    """Every link of the page has its target, and no id is given twice."""
    report = run(binary(), [(i % 2 == 0, 0.9, {"lr": 0.9}) for i in range(300)])
    for i in range(30):
        report.transition(Transition(kind=Kind.SIGNAL, timestamp=i, position=f"events:0:{i}", reason="Rose."))
    result = report.finish(1.0)
    elements = Elements(report.page())
    links = {value[1:] for _, name, value in elements.attributes if name == "href"}
    assert links
    assert links <= set(elements.ids)
    assert len(elements.ids) == len(set(elements.ids))
    assert result["transition_counts"] == {"signal": 30}


@pytest.mark.parametrize("definition", [binary(), multiclass("open"), regression()], ids=lambda d: d.task)
def test_nothing_to_report(definition):
    """No events, or events without a label, still make a page and a summary."""
    report = Report(definition)
    assert "nothing could be scored" in summary(report.finish(0.0))
    report.predicted(prediction(0))
    result = report.finish(1.0)
    assert "nothing could be scored" in report.page()
    assert 6 <= len(summary(result).splitlines()) <= 12


def test_the_page_comes_after_finish():
    """Asking for the page too early says what to do."""
    with pytest.raises(RuntimeError, match="finish"):
        Report(binary()).page()


def test_finish_may_be_asked_again():
    """A report in the middle of a run changes nothing of the one at its end."""
    rows = [(i % 3 == 0, 0.2 + 0.5 * (i % 2), {"lr": 0.4, "m": None}) for i in range(50)]
    report = Report(binary())
    for i, (label, served, members) in enumerate(rows):
        report.predicted(prediction(i))
        report.scored(i, label, served, members, str(i))
        if i in (0, 20):
            report.finish(1.0)
    assert report.finish(1.0) == run(binary(), rows).finish(1.0)


def test_the_summary_fits_a_terminal():
    """Six to twelve lines of printable text, however many members there are."""
    for rows in ([(True, 0.9, {})], [(True, 0.9, {f"m{i}": 0.5 for i in range(9)})] * 5):
        text = summary(run(binary(), rows).finish(1.0))
        assert 6 <= len(text.splitlines()) <= 12
    hard = hostile().finish(1.0)
    assert all(line.isprintable() for line in summary(hard).splitlines())


def test_helpers_of_the_chart():
    """Ticks are round, markers group, labels do not overlap, odd times do not raise."""
    assert ticks(0.4, 1.0, 5) == [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert ticks(3, 3, 5) == [3]
    assert clusters([]) == []
    places = sorted(spread([95.0, 96.0, 97.0, 99.0], 10, 0, 100))
    assert places == [70, 80, 90, 100]
    assert when(-5) == "-5"
    assert when(2**62) == f"{2**62:,}"
