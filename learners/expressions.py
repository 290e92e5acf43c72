"""Conditions over features: a small language, parsed and checked once, then a closure.

    amount > 900 and country not in ['CH', 'LI']        comparisons (chained too), lists, and, or, not
    0 < amount / income <= 3                            arithmetic: + - * /
    `card age` is missing or not verified               names that are no identifiers; missing values
    hour(at) >= 22 or weekday(at) in [5, 6]             parts of a time, in UTC: hour, weekday, month
    'refund' in note                                    text within text
    true

Nothing is ever evaluated as code: Python's parser gives the tree, a list of what is allowed does the
rest. Weekdays count from 0 (Monday). Kinds are checked when compiling, so that while running
only a missing value, an arithmetic accident or a value that breaks the contract is left: `SILENT`.
"""

import ast
import difflib
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, NoReturn

from learners.definition import Feature
from learners.errors import DefinitionError
from learners.features import moment

MAX_LENGTH = 1000  # characters
MAX_DEPTH = 20  # levels of the tree

Features = dict[str, Any]
Run = Callable[[Features], Any]
Condition = Callable[[Features], bool]
Kind = Literal["number", "text", "boolean", "time", "missing"]

_KINDS: dict[str, Kind] = {
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "category": "text",
    "text": "text",
    "time": "time",
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SWAPPED: dict[Any, Any] = {
    operator.eq: operator.eq,
    operator.ne: operator.ne,
    operator.lt: operator.gt,
    operator.le: operator.ge,
    operator.gt: operator.lt,
    operator.ge: operator.le,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_PARTS = ("hour", "weekday", "month")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]*)`""")


class SilentError(Exception):
    """A condition that reads a missing value; the rule has nothing to say."""


# What running a checked condition can raise: a missing value; a division by zero or a number too large;
# a value of a type that the contract does not allow.
SILENT = (SilentError, ArithmeticError, TypeError)


class _Part(NamedTuple):
    """A compiled part of a condition, and what is known of it."""

    kind: Kind
    run: Run
    feature: str | None = None  # it is this feature and nothing else
    constant: Any = None  # it is this constant


def compile_condition(source: str, features: Mapping[str, Feature], key: str) -> Condition:
    """Compile a condition.

    Parameters
    ----------
    source
        The text.
    features
        What it may read.
    key
        Where it stands in the definition, for errors.

    Returns
    -------
    callable
        From the features of an event to whether it holds. Raises one of `SILENT`, nothing else.

    Raises
    ------
    DefinitionError
        Naming key, position and remedy.

    Examples
    --------
    >>> holds = compile_condition("amount > 900", {"amount": Feature()}, "rules.big.when")
    >>> holds({"amount": 1000.0})
    True
    >>> compile_condition("amuont > 900", {"amount": Feature()}, "rules.r.when")
    Traceback (most recent call last):
    ...
    learners.errors.DefinitionError: rules.r.when: position 1: `amuont` is no feature. Did you mean `amount`?
    """
    return _Compiler(source, features, key).condition()


class _Compiler:
    def __init__(self, source: str, features: Mapping[str, Feature], key: str) -> None:
        self.source, self.features, self.key = source, features, key
        self._quoted: dict[int, str] = {}  # position -> name that stood there in backticks

    def condition(self) -> Condition:
        part = self._part(self._parse(), 1)
        if part.kind != "boolean":
            self._fail(1, f"a {part.kind} is no condition", "Compare it with something, e.g. `amount > 900`")
        return part.run

    def _parse(self) -> ast.expr:
        if len(self.source) > MAX_LENGTH:
            self._fail(MAX_LENGTH, "is too long", f"Use at most {MAX_LENGTH} characters, or two rules")
        text = _QUOTED.sub(self._name, re.sub(r"\s", " ", self.source)).lstrip()
        self._shift = len(self.source) - len(text)
        self._bytes = text.encode("utf-8", "replace")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the parser warns of odd escapes in strings
                return ast.parse(text, mode="eval").body
        except SyntaxError as error:
            remedy = (
                "Use == to compare" if re.search(r"[^=<>!]=[^=]", text) else 'E.g. "amount > 900 and new"'
            )
            at_end = error.lineno != 1 or not error.offset
            position = len(self.source) + 1 if at_end else (error.offset or 0) + self._shift
            self._fail(position, f"is no condition: {error.msg}", remedy)
        except (ValueError, RecursionError, MemoryError):
            self._fail(1, "cannot be read", "Make it shorter and use ordinary characters")

    def _name(self, match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group()
        # An identifier of the same length keeps positions; which name it is, its position says.
        self._quoted[match.start()] = name
        return "q" * len(match.group())

    def _position(self, node: ast.AST) -> int:
        column = getattr(node, "col_offset", 0)
        return len(self._bytes[:column].decode("utf-8", "ignore")) + self._shift + 1

    def _fail(self, position: int, problem: str, remedy: str) -> NoReturn:
        raise DefinitionError(self.key, f"position {position}: {problem}", remedy)

    def _refuse(self, node: ast.AST, problem: str, remedy: str) -> NoReturn:
        self._fail(self._position(node), problem, remedy)

    def _part(self, node: ast.expr, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            self._refuse(node, "is nested too deep", f"Use at most {MAX_DEPTH} levels, or two rules")
        match node:
            case ast.BoolOp():
                return self._logic(node, depth)
            case ast.UnaryOp(op=ast.Not()):
                inner = self._of_kind("boolean", node.operand, depth).run
                return _Part("boolean", lambda x: not inner(x))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self._sign(node, depth)
            case ast.BinOp():
                return self._arithmetic(node, depth)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.Call():
                return self._part_of_time(node)
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._named(node)
        what = type(node).__name__.lower()
        self._refuse(node, f"{what} is not part of the language", "See docs/definition.md for what is")

    def _of_kind(self, kind: Kind, node: ast.expr, depth: int) -> _Part:
        part = self._part(node, depth + 1)
        if part.kind != kind:
            self._refuse(node, f"a {part.kind} stands where a {kind} is needed", _REMEDIES[kind])
        return part

    def _logic(self, node: ast.BoolOp, depth: int) -> _Part:
        parts = [self._of_kind("boolean", value, depth).run for value in node.values]
        run = parts[-1]
        for part in reversed(parts[:-1]):
            run = _both(part, run) if isinstance(node.op, ast.And) else _either(part, run)
        return _Part("boolean", run)

    def _sign(self, node: ast.UnaryOp, depth: int) -> _Part:
        part = self._of_kind("number", node.operand, depth)
        if isinstance(node.op, ast.UAdd):
            return part
        if part.constant is not None:
            return _fixed("number", -part.constant)
        inner = part.run
        return _Part("number", lambda x: -inner(x))

    def _arithmetic(self, node: ast.BinOp, depth: int) -> _Part:
        apply = _ARITHMETIC.get(type(node.op))
        if apply is None:
            self._refuse(node, "knows only + - * /", "Rewrite it with these")
        left = self._of_kind("number", node.left, depth)
        right = self._of_kind("number", node.right, depth)
        if apply is operator.truediv and right.constant == 0:
            self._refuse(node.right, "divides by zero", "Divide by something else")
        if left.constant is not None and right.constant is not None:
            return self._folded(node, apply, left.constant, right.constant)
        a, b = left.run, right.run
        return _Part("number", lambda x: apply(a(x), b(x)))

    def _folded(self, node: ast.expr, apply: Callable[[Any, Any], Any], left: Any, right: Any) -> _Part:
        try:
            value = float(apply(left, right))
        except ArithmeticError:
            value = math.inf
        if not math.isfinite(value):
            self._refuse(node, "is too large", "Write a smaller number")
        return _fixed("number", value)

    def _comparison(self, node: ast.Compare, depth: int) -> _Part:
        run: Condition | None = None
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            link = self._link(left, op, right, depth)
            run = link if run is None else _both(run, link)
            left = right
        if run is None:  # the grammar has no comparison without an operator
            self._refuse(node, "compares nothing", _REMEDIES["boolean"])
        return _Part("boolean", run)

    def _link(self, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> Condition:
        if isinstance(op, ast.Is | ast.IsNot):
            return self._missing(left, op, right, depth)
        if isinstance(op, ast.In | ast.NotIn):
            return self._membership(left, op, right, depth)
        compare = _COMPARE[type(op)]
        a, b = self._part(left, depth + 1), self._part(right, depth + 1)
        for part, other, place in ((a, b, left), (b, a, right)):
            if part.kind == "missing":
                self._refuse(place, "cannot be compared", "Write `NAME is missing` or `NAME is not missing`")
            if part.kind == "time":
                self._refuse(place, "a time cannot be compared", _REMEDIES["time"])
            self._check_category(part, other, place)
        if a.kind != b.kind:
            self._refuse(right, f"a {a.kind} cannot be compared with a {b.kind}", _REMEDIES[a.kind])
        if a.kind == "boolean" and not isinstance(op, ast.Eq | ast.NotEq):
            self._refuse(right, "true and false have no order", "Use == or !=, or `NAME` and `not NAME`")
        if a.feature is not None and b.constant is not None:
            return _feature_with(a.feature, compare, b.constant)
        if b.feature is not None and a.constant is not None:
            return _feature_with(b.feature, _SWAPPED[compare], a.constant)
        first, second = a.run, b.run
        return lambda x: compare(first(x), second(x))

    def _check_category(self, value: _Part, of: _Part, node: ast.expr) -> None:
        """Refuse a constant that a declared category never takes: it is a slip of the pen."""
        declared = self.features[of.feature].categories if of.feature is not None else None
        if declared is not None and value.kind == "text" and value.constant is not None:
            if value.constant in declared:
                return
            near = difflib.get_close_matches(value.constant, declared, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"One of: {', '.join(map(repr, declared))}"
            self._refuse(node, f"{value.constant!r} is no category of `{of.feature}`", remedy)

    def _missing(self, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> Condition:
        feature = self._part(left, depth + 1).feature
        if feature is None or self._part(right, depth + 1).kind != "missing":
            self._refuse(
                right, "`is` asks only whether a feature is missing", "Write `NAME is missing`, or use =="
            )
        if isinstance(op, ast.Is):
            return lambda x: x.get(feature) is None
        return lambda x: x.get(feature) is not None

    def _membership(self, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> Condition:
        member = self._part(left, depth + 1)
        run = member.run
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            options = [self._option(item, member, depth) for item in right.elts]
            if not options:
                self._refuse(right, "the list is empty", "List the values")
            among = frozenset(options)
            inside: Condition = lambda x: run(x) in among  # noqa: E731
        else:
            if member.kind != "text":
                self._refuse(right, "`in` needs a list", "Write e.g. `country in ['CH', 'LI']`")
            whole = self._of_kind("text", right, depth).run
            inside = lambda x: run(x) in whole(x)  # noqa: E731
        return inside if isinstance(op, ast.In) else lambda x: not inside(x)

    def _option(self, node: ast.expr, member: _Part, depth: int) -> Any:
        part = self._part(node, depth + 1)
        if part.constant is None:
            self._refuse(node, "a list holds only constants", "Use `or` to compare with another feature")
        if part.kind != member.kind:
            self._refuse(node, f"a {part.kind} among values for a {member.kind}", _REMEDIES[member.kind])
        self._check_category(part, member, node)
        return part.constant

    def _part_of_time(self, node: ast.Call) -> _Part:
        name = node.func.id if isinstance(node.func, ast.Name) else "this"
        if name not in _PARTS or len(node.args) != 1 or node.keywords:
            self._refuse(node, f"{name} is no function", "There are hour(at), weekday(at) and month(at)")
        part = self._part(node.args[0], 1)
        if part.kind != "time" or part.feature is None:
            self._refuse(node.args[0], f"{name} needs a time feature", 'Declare one with type = "time"')
        return _Part("number", _time_reader(part.feature, name))

    def _constant(self, node: ast.Constant) -> _Part:
        value = node.value
        if isinstance(value, bool):
            return _fixed("boolean", value)
        if isinstance(value, str):
            return _fixed("text", value)
        if isinstance(value, int | float) and abs(value) <= 1e15:
            return _fixed("number", value)
        self._refuse(node, "is no number, text, true or false", "Numbers go up to 1e15")

    def _named(self, node: ast.Name) -> _Part:
        start = self._position(node) - 1
        name = self._quoted.get(start)
        if name is None:
            name = self.source[start : start + len(node.id)]  # as written: the parser normalizes letters
            if name not in self.features:
                if name.lower() in ("true", "false"):
                    return _fixed("boolean", name.lower() == "true")
                if name == "missing":
                    return _Part("missing", _never)
        feature = self.features.get(name)
        if feature is None:
            near = difflib.get_close_matches(name, self.features, n=1)
            remedy = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(self.features)}"
            self._refuse(node, f"`{name}` is no feature", remedy)
        return _Part(_KINDS[feature.type], _reader(name), feature=name)


_REMEDIES: dict[str, str] = {
    "number": "Write a number, e.g. `amount > 900`",
    "text": "Put text in quotes, e.g. `country == 'CH'`",
    "boolean": "Write a condition, e.g. `amount > 900`",
    "time": "Use hour(at), weekday(at) or month(at)",
    "missing": "Write `NAME is missing`",
}


def _never(x: Features) -> NoReturn:
    raise SilentError


def _fixed(kind: Kind, value: Any) -> _Part:
    return _Part(kind, lambda x: value, constant=value)


def _reader(name: str) -> Run:
    def read(x: Features) -> Any:
        value = x.get(name)
        if value is None:
            raise SilentError(name)
        return value

    return read


def _feature_with(name: str, compare: Callable[[Any, Any], Any], constant: Any) -> Condition:
    """Compare a feature with a constant: most conditions are this, and it spares two calls."""

    def holds(x: Features) -> bool:
        value = x.get(name)
        if value is None:
            raise SilentError(name)
        return compare(value, constant)  # type: ignore[no-any-return]

    return holds


def _time_reader(name: str, part: str) -> Run:
    def read(x: Features) -> int:
        value = x.get(name)
        at = None if value is None else moment(value)
        if at is None:
            raise SilentError(name)
        return int(getattr(at, part))

    return read


def _both(first: Condition, second: Condition) -> Condition:
    return lambda x: first(x) and second(x)


def _either(first: Condition, second: Condition) -> Condition:
    return lambda x: first(x) or second(x)
