"""Pickles that can only make what learned state is made of.

A pickle names callables and says what to call them with. Here it may name classes of River, numpy's few
constructors, our own classes, plain containers, and what the definition's own recipes bring along; anything
else is refused before it is called. This is the second line: what is not authenticated is never unpickled at
all (`learners.snapshot`).
"""

import functools
import importlib
import io
import pickle
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from learners.definition import Definition
from learners.errors import IncompatibleSnapshotError

PROTOCOL = 5

# No class in these is part of a model; they fetch, read and write.
_RIVER_OUTSIDE = ("river.datasets", "river.stream", "river.checks", "river.evaluate", "river.test_estimators")

_EXACT: dict[str, frozenset[str]] = {
    "builtins": frozenset(("bool", "int", "float", "complex", "str", "bytes", "bytearray", "range", "slice"))
    | frozenset(("list", "tuple", "set", "frozenset", "dict", "object")),
    "collections": frozenset(("Counter", "OrderedDict", "defaultdict", "deque")),
    "copy": frozenset(("copy", "deepcopy")),
    "copyreg": frozenset(("_reconstructor", "__newobj__")),
    "datetime": frozenset(("date", "datetime", "time", "timedelta", "timezone")),
    "decimal": frozenset(("Decimal",)),
    "fractions": frozenset(("Fraction",)),
    "functools": frozenset(("partial",)),
    "msgspec._utils": frozenset(("rebuild",)),
    "numpy": frozenset(("dtype", "ndarray")),
    "numpy._core.multiarray": frozenset(("scalar", "_reconstruct")),
    "numpy._core.numeric": frozenset(("_frombuffer",)),
    "numpy.random._mt19937": frozenset(("MT19937",)),
    "numpy.random._pcg64": frozenset(("PCG64", "PCG64DXSM")),
    "numpy.random._pickle": frozenset(("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor")),
    "numpy.random.bit_generator": frozenset(("SeedSequence", "__pyx_unpickle_SeedSequence")),
    "random": frozenset(("Random",)),
    "statistics": frozenset(("NormalDist",)),
}


class _ForbiddenError(Exception):
    """A pickle that names what it may not name."""


def dumps(thing: Any) -> bytes:
    """Return a pickle."""
    return pickle.dumps(thing, protocol=PROTOCOL)


def loads(data: bytes, definition: Definition | None = None) -> Any:
    r"""Return what a pickle holds, made of nothing but what is allowed.

    Parameters
    ----------
    data
        Authenticated bytes.
    definition
        Whose recipes name further packages. None: nothing inside comes from a recipe.

    Raises
    ------
    IncompatibleSnapshotError
        When it names anything else, or cannot be made with the libraries and recipes of now.

    Examples
    --------
    >>> from learners.definition import Feature
    >>> definition = Definition(name="d", task="regression", features={"x": Feature()})
    >>> loads(dumps({"weights": [1.0, 2.5]}), definition)
    {'weights': [1.0, 2.5]}
    >>> loads(b"cos\nsystem\n(S'true'\ntR.", definition)
    Traceback (most recent call last):
    ...
    learners.errors.IncompatibleSnapshotError: the snapshot holds os.system, which is no part of a model ...
    """
    try:
        return _Restricted(data, packages(definition) if definition else frozenset()).load()
    except _ForbiddenError as error:
        raise IncompatibleSnapshotError(
            f"the snapshot holds {error}, which is no part of a model that this definition declares. "
            "If a recipe was removed or moved, put it back; if not, do not trust these snapshots"
        ) from None
    except Exception as error:  # a pickle can raise anything
        raise IncompatibleSnapshotError(
            f"the snapshot cannot be made with the code that is here: {type(error).__name__}: {error}. "
            "Install the libraries and recipes that it was written with"
        ) from error


def packages(definition: Definition) -> frozenset[str]:
    """Return the packages that the definition's own recipes come from."""
    recipes: Iterable[str | None] = (
        *(model.recipe for model in definition.models.values()),
        *(rule.recipe for rule in definition.rules.values()),
        *(policy.recipe for policy in definition.policy),
    )
    return frozenset(package for recipe in recipes if (package := package_of(recipe)))


def package_of(recipe: str | None) -> str:
    """Return the package that a recipe of one's own comes from; of the catalogue's: nothing.

    >>> package_of("shop.models:build"), package_of("naive_bayes")
    ('shop', '')
    """
    return recipe.partition(":")[0].partition(".")[0] if recipe and ":" in recipe else ""


class _Restricted(pickle.Unpickler):
    def __init__(self, data: bytes, allowed: frozenset[str]) -> None:
        super().__init__(io.BytesIO(data))
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        return _find(module, name, self._allowed)

    def persistent_load(self, _: Any) -> Any:
        raise _ForbiddenError("a reference to something outside")


@functools.lru_cache(maxsize=4096)
def _find(module: str, name: str, allowed: frozenset[str]) -> Any:
    """Return what a pickle may call by this name.

    Names are followed only from class to attribute, so that no import of a module can be reached through it.
    """
    if module == "builtins" and name == "getattr":  # how pickle writes a bound method
        return functools.partial(_bound_method, allowed)
    if name in _EXACT.get(module, ()):
        return _follow(module, name)
    own = module.partition(".")[0] in allowed
    if not (own or _ours(module) or module == "numpy"):
        raise _ForbiddenError(f"{module}.{name}")
    found = _follow(module, name)
    home = getattr(found, "__module__", None)
    if module == "numpy":
        good = isinstance(found, type) and issubclass(found, np.generic)
    elif own:
        good = isinstance(found, type | types.FunctionType) and str(home).partition(".")[0] in allowed
    else:
        good = _ours(str(home)) and (
            isinstance(found, type) or ("." in name and isinstance(found, types.FunctionType))
        )
    if not good:
        raise _ForbiddenError(f"{module}.{name}")
    return found


def _follow(module: str, name: str) -> Any:
    found = getattr(importlib.import_module(module), (steps := name.split("."))[0])
    for step in steps[1:]:
        if not isinstance(found, type) or step.startswith("__"):
            raise _ForbiddenError(f"{module}.{name}")
        found = getattr(found, step)
    return found


def _ours(module: str) -> bool:
    """Whether classes of a module are parts of models."""
    if module.startswith("river."):
        return not module.startswith(_RIVER_OUTSIDE)
    return module.startswith("learners.") and module != __name__


def _bound_method(allowed: frozenset[str], thing: Any, name: str) -> Any:
    kind = thing if isinstance(thing, type) else type(thing)
    home = kind.__module__
    method = None if name.startswith("__") else getattr(thing, name, None)
    known = _ours(home) or home.partition(".")[0] in allowed
    if not known or not isinstance(method, types.MethodType | types.BuiltinMethodType):
        raise _ForbiddenError(f"{home}.{kind.__name__}, attribute {name}")
    return method
