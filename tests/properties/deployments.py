"""Deployments whose every decision falls within a handful of events."""

from tests.support import TINY, definition

TWO = {"lr": {"recipe": "logistic_regression"}, "nb": {"recipe": "naive_bayes"}}
QUICK = {**TINY["drift"], "alpha": 0.9, "parameters": {"budget": 1.2}, "cooldown": 1}
POLICIES = [
    {"name": "hand", "on": "command", "do": "retrain", "target": "lr", "last": 3, "check": 2},
    {"on": "schedule", "every": 4, "do": "fallback", "check": 2, "budget": 2},
    {"on": "schedule", "every": "70ms", "do": "resume", "check": 3},
    {"on": "concept", "do": "update", "recipe": "naive_bayes", "target": "lr", "times": 2, "cooldown": 3},
]
LATE = [
    definition(label={**TINY["label"], **policy})
    for policy in (
        {},
        {"expire_as": "no", "after_ttl": "learn", "on_correction": "learn-again"},
        {"expire_as": "yes", "after_ttl": "correct", "idle": "0s", "early_ttl": "10ms"},
        {"after_ttl": "learn", "keep_limit": 0},
        {"after_ttl": "learn", "ttl": "15ms", "pending_limit": 1, "early_limit": 1},
        {"expire_as": "yes", "after_ttl": "ignore", "on_correction": "learn-again", "pending_limit": 2},
        {"after_ttl": "correct", "ttl": "5ms", "idle": "0s", "on_correction": "learn-again", "keep_limit": 9},
    )
]
"""Every policy for labels that come late, twice, corrected, or never."""
DEPLOYMENTS = [
    definition(),
    definition(models=TWO, drift=QUICK, versions={"keep": 2, "age": "150ms", "every": 3}),
    definition(models=TWO, drift={**QUICK, "on_drift": "retrain", "probation": True}, policy=POLICIES),
    definition(models=TWO, drift=QUICK, policy=POLICIES, mode="advise"),
    definition(models=TWO, champion="lr", drift={**QUICK, "on_drift": "fallback"}, loss="balanced"),
    definition(
        task="multiclass",
        models={"lr": {"recipe": "one_vs_rest"}, "nb": {"recipe": "naive_bayes"}},
        drift=QUICK,
        rules={"high": {"when": "x > 5", "then": "yes"}},
        label={**TINY["label"], "classes": "open"},
    ),
    definition(
        task="multiclass",
        models={"lr": {"recipe": "one_vs_rest"}},
        loss="balanced",
        rules={"high": {"when": "x > 5", "then": "maybe"}},
        label={**TINY["label"], "classes": "open"},
    ),
]
