"""Pickles that would do something are refused before they do it; models come back as they were."""

import builtins
import collections
import functools
import operator
import os
import pickle
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import compose, datasets, stream

from learners import pickling
from learners.definition import Model
from learners.errors import IncompatibleSnapshotError
from tests.support import definition

DEFINITION = definition()


class Calling:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def touch(path: Path) -> str:
    return f"touch {path}"


def hostile(path: Path) -> dict[str, Any]:
    """Return things whose pickles would make a file, or at least reach what can."""
    system = Calling(os.system, touch(path))
    return {
        "os.system": system,
        "eval": Calling(eval, f"open({str(path)!r}, 'w')"),
        "exec": Calling(exec, f"open({str(path)!r}, 'w')"),
        "import": Calling(__import__, "antigravity"),
        "open": Calling(open, str(path), "w"),
        "popen": Calling(subprocess.Popen, ["touch", str(path)]),
        "nested in a member": {"a": [1, (system,)], "model": compose.Select("x")},
        "inside a partial": functools.partial(os.system, touch(path)),
        "as a default": collections.defaultdict(os.getcwd),
        "attrgetter": operator.attrgetter("__class__"),
        "methodcaller": operator.methodcaller("touch"),
        "a path": Path("/"),
        "pickle itself": Calling(pickle.loads, pickle.dumps(system)),
        "a function of River": compose.FuncTransformer(datasets.base.get_data_home),
        "a data set": datasets.Phishing(),
        "a cache": Calling(stream.Cache, str(path)),
        "getattr to a class": Calling(getattr, compose.Select("x"), "__class__"),
        "getattr to globals": Calling(getattr, compose.Select.__init__, "__globals__"),
        "getattr of builtins": Calling(getattr, builtins, "eval"),
        "a lambda of a test": Calling(touch, path),
    }


@pytest.mark.parametrize("kind", hostile(Path()))
def test_hostile_pickles_are_refused(tmp_path: Path, kind: str) -> None:
    """Calls of anything that is no part of a model, plain, nested, wrapped, or reached step by step."""
    thing = hostile(tmp_path / "made")[kind]
    try:
        data = pickling.dumps(thing)
    except (TypeError, pickle.PicklingError):  # a module cannot be pickled: write it by hand
        data = b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93\x8c\x08builtins\x8c\x04eval\x93N\x86R."
    with pytest.raises(IncompatibleSnapshotError, match=r"no part of a model"):
        pickling.loads(data, DEFINITION)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("river.datasets.base", "os.system"),
        ("river.datasets.base", "shutil.rmtree"),
        ("learners.snapshot", "importlib.metadata.version"),
        ("learners.catalogue", "importlib.import_module"),
        ("learners.catalogue", "importlib"),
        ("learners.catalogue", "build"),
        ("learners.pickling", "pickle.loads"),
        ("learners.pickling", "_Restricted"),
        ("river.compose.pipeline", "Pipeline.__init__.__globals__"),
        ("river.compose", "Pipeline.__class__"),
        ("numpy", "load"),
        ("numpy", "f2py.os.system"),
        ("builtins", "eval"),
        ("builtins", "type"),
        ("builtins", "setattr"),
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("tests.support", "run"),
    ],
)
def test_names_lead_nowhere_else(module: str, name: str) -> None:
    """What a module imports, or a class hides, cannot be reached through it."""
    m, n = module.encode(), name.encode()
    data = b"\x80\x04\x8c" + bytes([len(m)]) + m + b"\x8c" + bytes([len(n)]) + n + b"\x93."
    with pytest.raises(IncompatibleSnapshotError):
        pickling.loads(data, DEFINITION)


def test_a_reference_to_something_outside_is_refused() -> None:
    """Persistent ids have no meaning here."""
    with pytest.raises(IncompatibleSnapshotError, match="outside"):
        pickling.loads(b"Pid\n.", DEFINITION)


@pytest.mark.parametrize("data", [b"", b"\x80\x05", b"\x80\x05}", b"garbage", b"\x80\x04\x8c\x05river"])
def test_what_is_no_pickle_is_told(data: bytes) -> None:
    """It never raises anything else."""
    with pytest.raises(IncompatibleSnapshotError, match=r"cannot be made"):
        pickling.loads(data, DEFINITION)


@pytest.mark.parametrize(
    "thing",
    [
        {"a": [1, 2.5, None, True, b"x", "é", (1,), {2}, frozenset({3}), complex(1, 2), bytearray(b"y")]},
        collections.Counter("abc"),
        collections.OrderedDict(a=1),
        collections.deque([1, 2], maxlen=3),
        collections.defaultdict(list, a=[1]),
        np.float64(1.5),
        np.dtype("float32"),
        range(3),
    ],
)
def test_plain_things_come_back(thing: Any) -> None:
    """Containers and numbers, numpy's too."""
    assert pickling.loads(pickling.dumps(thing), DEFINITION) == thing


@pytest.mark.parametrize(
    "make", [lambda: random.Random(1), lambda: np.random.default_rng(1), lambda: np.random.RandomState(1)]
)
def test_random_numbers_go_on(make: Callable[[], Any]) -> None:
    """A generator in the midst of its sequence."""
    first = make()
    first.random()
    second = pickling.loads(pickling.dumps(first), DEFINITION)
    assert [first.random() for _ in range(5)] == [second.random() for _ in range(5)]


def test_arrays_come_back() -> None:
    """Numbers and objects."""
    for array in (np.arange(6.0).reshape(2, 3), np.array([1, "a", None], dtype=object)):
        assert (pickling.loads(pickling.dumps(array), DEFINITION) == array).all()


def test_the_definitions_own_recipes_may_be_anything() -> None:
    """Functions and classes of the package that a recipe names, and of no other."""
    own = definition(models={"mine": Model(recipe="tests.golden.recipes:anything")}, champion=None)
    assert pickling.loads(pickling.dumps(touch), own) is touch
    with pytest.raises(IncompatibleSnapshotError, match=r"no part of a model"):
        pickling.loads(pickling.dumps(touch), DEFINITION)
    with pytest.raises(IncompatibleSnapshotError, match=r"no part of a model"):
        pickling.loads(pickling.dumps(os.system), own)
