"""Conditions: what they mean, what they refuse, and that nothing else ever happens."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.definition import Feature
from learners.errors import DefinitionError
from learners.expressions import SILENT, compile_condition

FEATURES = {
    "amount": Feature(),
    "income": Feature(missing="mean"),
    "count": Feature(type="integer"),
    "new": Feature(type="boolean"),
    "country": Feature(type="category", categories=("CH", "DE", "LI")),
    "shop": Feature(type="category"),
    "note": Feature(type="text"),
    "at": Feature(type="time"),
    "card age": Feature(),
    "größe": Feature(),
    "in": Feature(),
}
X = {
    "amount": 1000.0,
    "income": 50.0,
    "count": 3,
    "new": True,
    "country": "CH",
    "shop": "s-1",
    "note": "please refund",
    "at": "2024-05-04T23:30:00Z",
    "card age": 2.0,
    "größe": 1.8,
    "in": 7.0,
}


def holds(condition, **changes):
    return compile_condition(condition, FEATURES, "rules.r.when")({**X, **changes})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", True),
        ("False", False),
        ("amount > 900", True),
        ("900 < amount", True),
        ("900 >= amount", False),
        ("amount == 1000 and count != 3", False),
        ("amount < 5 or count >= 3", True),
        ("not amount < 5", True),
        ("0 < count <= 3", True),
        ("0 < count < 3", False),
        ("amount / income == 20", True),
        ("amount - 2 * (income + 1) == 898", True),
        ("-amount < -999.5", True),
        ("amount > 2 * 450", True),
        ("new", True),
        ("not new", False),
        ("new == true", True),
        ("new and country == 'CH'", True),
        ('country != "DE"', True),
        ("country in ['CH', 'LI']", True),
        ("country not in ('CH', 'LI')", False),
        ("count in [1, 2, 3]", True),
        ("'refund' in note", True),
        ("'refund' not in note", False),
        ("note > shop", False),
        ("hour(at) >= 22", True),
        ("weekday(at) in [5, 6] and month(at) == 5", True),
        ("`card age` < 3", True),
        ("größe > 1.7 and amount > 1", True),
        ("`in` > 6", True),
        ("shop == '`card age`'", False),
        ("amount is not missing", True),
        ("amount is missing", False),
        ("\n  amount > 900\n  and new\n", True),
    ],
)
def test_a_condition_means_what_it_says(condition, expected):
    """Each part of the language, by example."""
    assert bool(holds(condition)) is expected


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        ("income > 3", {"income": None}),
        ("country != 'CH'", {"country": None}),
        ("amount / count > 1", {"count": 0}),
        ("hour(at) > 3", {"at": "no time"}),
        ("hour(at) > 3", {"at": None}),
        ("amount > 3", {"amount": "many"}),
        ("shop in ['a']", {"shop": []}),
    ],
)
def test_what_cannot_be_told_is_silent(condition, changes):
    """Missing values, divisions by zero and values that break the contract raise `SILENT` only."""
    with pytest.raises(SILENT):
        holds(condition, **changes)


def test_missing_values_can_be_asked_for():
    """`is missing` reads no value, and what is not needed is not read."""
    assert holds("income is missing or income > 3", income=None)
    assert holds("income is missing", income=None)
    assert not holds("income is not missing and income > 3", income=None)


@pytest.mark.parametrize(
    ("condition", "position", "sentence"),
    [
        ("amuont > 1", 1, "Did you mean `amount`?"),
        ("amount > 1 and  foo > 2", 17, "`foo` is no feature"),
        ("größe > 1 and foo > 2", 15, "`foo` is no feature"),
        ("amount > `card ages`", 10, "Did you mean `card age`?"),
        ("amount = 1", 8, "Use == to compare"),
        ("amount >", 9, "is no condition"),
        ("", 1, "is no condition"),
        ("amount", 1, "a number is no condition"),
        ("amount > 'a'", 10, "a number cannot be compared with a text"),
        ("country > 3", 11, "a text cannot be compared with a number"),
        ("country == 'XX'", 12, "One of: 'CH', 'DE', 'LI'"),
        ("country in ['CH', 'DEE']", 19, "Did you mean 'DE'?"),
        ("country in ['CH', 3]", 19, "a number among values for a text"),
        ("country in [shop]", 13, "a list holds only constants"),
        ("country in []", 12, "the list is empty"),
        ("count in 3", 10, "`in` needs a list"),
        ("new > false", 7, "have no order"),
        ("new == 1", 8, "cannot be compared"),
        ("amount and new", 1, "a number stands where a boolean is needed"),
        ("-country == 'a'", 2, "a text stands where a number is needed"),
        ("amount / 0 > 1", 10, "divides by zero"),
        ("amount % 2 == 0", 1, "knows only + - * /"),
        ("amount ** 2 > 0", 1, "knows only + - * /"),
        ("at > 3", 1, "a time cannot be compared"),
        ("hour(amount) > 3", 6, "needs a time feature"),
        ("minute(at) > 3", 1, "minute is no function"),
        ("hour(at, at) > 3", 1, "hour is no function"),
        ("amount == missing", 11, "`NAME is missing`"),
        ("amount is 3", 11, "asks only whether a feature is missing"),
        ("amount > 1e999", 10, "Numbers go up to 1e15"),
        ("amount > 1j", 10, "Numbers go up to 1e15"),
        ("amount > None", 10, "is no number"),
        ("amount.real > 3", 1, "attribute is not part of the language"),
        ("amount[0] > 3", 1, "subscript is not part of the language"),
        ("(lambda: 1)() > 3", 1, "this is no function"),
        ("__import__('os').system('x') == 0", 1, "this is no function"),
        ("[a for a in [1]] == 1", 1, "listcomp is not part of the language"),
        ("f'{amount}' == 'a'", 1, "joinedstr is not part of the language"),
        ("(x := 3) > 1", 2, "namedexpr is not part of the language"),
        ("amount if new else 3", 1, "ifexp is not part of the language"),
        ("amount & 3 > 1", 1, "knows only + - * /"),
        ("~count > 1", 1, "unaryop is not part of the language"),
    ],
)
def test_what_is_wrong_is_named_with_its_position(condition, position, sentence):
    """Errors name key, position and remedy; nothing but the language passes."""
    with pytest.raises(DefinitionError) as raised:
        compile_condition(condition, FEATURES, "rules.r.when")

    assert str(raised.value).startswith(f"rules.r.when: position {position}: ")
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    "condition",
    [
        "new and " * 500 + "new",
        "not " * 100 + "new",
        "(" * 300 + "new" + ")" * 300,
        "-" * 900 + "amount > 0",
        "amount > " + "+".join(["1"] * 200),
        "amount > " + "9" * 900,
        "amount > " + "*".join(["1e15"] * 30),
        "new\0",
        "shop == '\ud800'",
    ],
)
def test_length_and_depth_have_limits(condition):
    """What is too long, too deep, too large or no text at all is refused, not tried."""
    with pytest.raises(DefinitionError):
        compile_condition(condition, FEATURES, "rules.r.when")


WORDS = ["and", "or", "not", "in", "is", "missing", "true", "hour", "'CH'", '"a"', "`card age`", "`card"]
SIGNS = ["==", "!=", ">=", "2.5", "1e15", *"()[],<+-*/=0\\"]
TOKENS = st.sampled_from([*FEATURES, *WORDS, *SIGNS])


NUMBERS = st.recursive(
    st.sampled_from(["amount", "income", "count", "`in`", "0", "2.5", "1e15", "hour(at)"]),
    lambda n: st.tuples(n, st.sampled_from("+-*/"), n).map(lambda t: f"({' '.join(t)})"),
    max_leaves=6,
)
COMPARISONS = st.tuples(NUMBERS, st.sampled_from(["<", ">=", "==", "!=", "< 3 <"]), NUMBERS).map(" ".join)
CONDITIONS = st.recursive(
    st.one_of(COMPARISONS, st.sampled_from(["new", "country in ['CH']", "'a' in note", "income is missing"])),
    lambda c: st.one_of(
        c.map("not ({})".format),
        st.tuples(c, st.sampled_from(["and", "or"]), c).map(lambda t: f"({' '.join(t)})"),
    ),
    max_leaves=6,
)


@given(st.one_of(st.text(max_size=40), st.lists(TOKENS, max_size=12).map(" ".join), CONDITIONS))
def test_any_text_compiles_or_is_refused(condition):
    """Whatever is written: a condition that holds, does not hold or is silent; or a DefinitionError."""
    try:
        compiled = compile_condition(condition, FEATURES, "rules.r.when")
    except DefinitionError:
        return
    for x in (X, {}, dict.fromkeys(X)):
        with contextlib.suppress(*SILENT):
            assert isinstance(compiled(x), bool)
