"""Data files: what is read, what is refused, and what becomes of a cell."""

import gzip
import json

import pytest

from learners.definition import Feature, parse_definition
from producers.files import DataFileError, label_of, rows, timestamp_of, typed


@pytest.fixture
def write(tmp_path):
    def write(content, name="data.csv"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


def binary(classes, **label):
    return parse_definition(
        {"name": "d", "task": "binary", "features": {"x": {}}, "label": {"classes": classes, **label}}
    )


def regression():
    return parse_definition({"name": "d", "task": "regression", "features": {"x": {}}})


ROWS = [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        "a|b\n1|x\n2|y\n",
        '"a","b"\n"1","x"\n"2","y"\n',
        "\n\na,b\n1,x\n\n2,y\n\n",
        b"\xef\xbb\xbfa,b\n1,x\n2,y\n",
        gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0),
        '{"a": "1", "b": "x"}\n\n{"a": "2", "b": "y"}\n',
        b'\xef\xbb\xbf{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}',
        gzip.compress(b'{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n', mtime=0),
    ],
)
def test_content_decides_what_a_file_is(write, content):
    """CSV in its dialects and JSON lines, plain or gzip, give the same rows whatever the ending."""
    assert list(rows(write(content, "data.txt"))) == ROWS


def test_a_limit_stops_reading(write):
    """No row beyond the limit is read, so a fault behind it does not matter."""
    assert list(rows(write("a,b\n1,x\nbroken\n"), limit=1)) == ROWS[:1]


def test_an_unnamed_column_is_named_by_its_place(write):
    """The row number that other programs write without a heading becomes column_1."""
    assert list(rows(write(",a\n0,1\n"))) == [{"column_1": "0", "a": "1"}]


def test_quoted_cells_may_hold_anything(write):
    """Delimiters, quotes and line ends inside quotes belong to the cell."""
    assert list(rows(write('"a,b",c\n"1;\n2","say ""x"""\n'))) == [{"a,b": "1;\n2", "c": 'say "x"'}]


def test_json_values_keep_their_types(write):
    """JSON lines are not turned into text, and NaN is understood."""
    (row,) = rows(write('{"a": 1, "b": true, "c": null, "d": NaN, "e": "1"}\n'))
    assert row["d"] != row.pop("d")
    assert row == {"a": 1, "b": True, "c": None, "e": "1"}


def test_a_header_alone_has_no_rows(write):
    """A header without rows is no fault of the file."""
    assert list(rows(write("a,b\n"))) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n1,x\n1\n", "line 3: has 1 fields, the header 2"),
        ("a,b\n1,x,y\n", "line 2: has 3 fields, the header 2"),
        ('\n\na,b\n"1\n2",x\n1\n', "line 6: has 1 fields"),
        ("a,b,a\n", "line 1: columns 1 and 3 are both named 'a'"),
        ('a,b\n1,"x\n', "is no CSV: unexpected end of data"),
        (b"a,b\n1,x\n2,\xff\n", "line 3: is not UTF-8"),
        (gzip.compress(b"a,b\n1,x\n" * 100, mtime=0)[:-20], "cannot be read further"),
        ('[{"a": 1}]', "line 1: is a JSON array"),
        ('{"a": 1}\n\n[1]\n', "line 3: is no JSON object"),
        ('{"a": 1}\n{"a": \n', "line 2: is no JSON"),
        ('{"a": "\\ud800"}\n', "line 1: is no JSON"),
        (b"PAR1....", "is Parquet"),
        (b"PK\x03\x04....", "is a zip archive"),
        ("a,b\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_a_fault_is_named_with_its_line(write, content, message):
    """Every file that cannot be read says why, and where."""
    with pytest.raises(DataFileError) as caught:
        list(rows(write(content)))
    assert message in str(caught.value)
    assert "data.csv" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    """A wrong path, or a folder, is a sentence and no traceback."""
    with pytest.raises(DataFileError, match="does not exist"):
        list(rows(tmp_path / "nothing.csv"))
    with pytest.raises(DataFileError, match="cannot be read"):
        list(rows(tmp_path))


FEATURES = {
    "n": Feature(),
    "i": Feature(type="integer"),
    "b": Feature(type="boolean"),
    "c": Feature(type="category", categories=("NA", "CH")),
    "t": Feature(type="text"),
    "when": Feature(type="time"),
}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"n": " 1.5 ", "i": "3", "b": "True", "t": " x "}, {"n": 1.5, "i": 3, "b": True, "t": " x "}),
        ({"n": "1e3", "i": "3.0", "b": "0"}, {"n": 1000.0, "i": 3, "b": False}),
        ({"n": 2, "i": 3.0, "b": False}, {"n": 2.0, "i": 3, "b": False}),
        ({name: "" for name in FEATURES}, {}),
        ({name: " Na " for name in FEATURES}, {}),
        ({name: None for name in FEATURES}, {}),
        ({"n": float("nan"), "i": "?", "b": "null", "t": "NaN"}, {}),
        ({"c": "NA"}, {"c": "NA"}),
        ({"c": "DE"}, {"c": "DE"}),
        ({"n": "abc", "i": "2.5", "b": "maybe"}, {"n": "abc", "i": "2.5", "b": "maybe"}),
        ({"n": "inf", "i": "1e999"}, {"n": "inf", "i": "1e999"}),
        ({"n": "1_000", "i": "1_000"}, {"n": "1_000", "i": "1_000"}),
        ({"n": True, "i": True, "b": 1, "t": 1}, {"n": True, "i": True, "b": 1, "t": 1}),
        ({"n": [1], "i": {}}, {"n": [1], "i": {}}),
        ({"n": 10**400, "i": "9" * 30}, {"n": 10**400, "i": int("9" * 30)}),
        ({"when": "2011-01-01T09:00+05:00"}, {"when": "2011-01-01T09:00+05:00"}),
        ({"when": "1300000000"}, {"when": 1_300_000_000_000}),
        ({"when": "01.02.2011"}, {"when": 1_296_518_400_000}),
        ({"when": "01/02/2011"}, {"when": "01/02/2011"}),
        ({"other": "1"}, {}),
    ],
)
def test_cells_become_what_is_declared(row, expected):
    """A cell is converted when it can be, left out when missing, and handed on as it is otherwise."""
    converted = typed(row, FEATURES)
    assert converted == expected
    assert [type(v) for v in converted.values()] == [type(v) for v in expected.values()]


def test_each_mapping_of_features_has_its_own_converters():
    """What was compiled for one definition does not serve another, however many there are."""
    for n in range(200):
        kind = "number" if n % 2 else "text"
        assert typed({"x": "1"}, {"x": Feature(type=kind)}) == {"x": 1.0 if n % 2 else "1"}


@pytest.mark.parametrize(
    ("definition", "value", "expected"),
    [
        (binary(["DOWN", "UP"]), "UP", "UP"),
        (binary(["DOWN", "UP"]), " UP ", "UP"),
        (binary(["DOWN", "UP"]), "up", "up"),
        (binary([0, 1]), "1", 1),
        (binary([0, 1]), "1.0", 1),
        (binary([0, 1]), 1.0, 1),
        (binary([0, 1]), "2", "2"),
        (binary([False, True]), "TRUE", True),
        (binary([False, True]), "no", False),
        (binary([False, True]), 1, True),
        (binary([False, True]), "perhaps", "perhaps"),
        (binary(["no", "yes"]), "yes", "yes"),
        (binary(["?", "yes"]), "?", "?"),
        (binary(["no", "yes"]), "?", None),
        (binary(["no", "yes"]), None, None),
        (binary(["no", "yes"]), [1], [1]),
        (regression(), "12", 12.0),
        (regression(), 12, 12.0),
        (regression(), "NA", None),
        (regression(), "twelve", "twelve"),
    ],
)
def test_labels_become_the_declared_class(definition, value, expected):
    """A label is the class as declared, or a number; what is unknown stays as it is."""
    label = label_of(value, definition)
    assert label == expected
    assert type(label) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_300_000_000, 1_300_000_000_000),
        ("1300000000", 1_300_000_000_000),
        (1_300_000_000.25, 1_300_000_000_250),
        (1_300_000_000_123, 1_300_000_000_123),
        (1_300_000_000_123_456, 1_300_000_000_123),
        (1_300_000_000_123_456_789, 1_300_000_000_123),
        ("2011-01-01", 1_293_840_000_000),
        ("2011-01-01 10:00:00", 1_293_876_000_000),
        ("2011-01-01T10:00:00.5+01:00", 1_293_872_400_500),
        ("2011/01/01 10:00", 1_293_876_000_000),
        ("01.01.2011 10:00:00", 1_293_876_000_000),
        ("1 Jan 2011", 1_293_840_000_000),
        ("January 1, 2011 10:00", 1_293_876_000_000),
        ("01/Jan/2011:10:00:00 +0000", 1_293_876_000_000),
        ("Sat, 01 Jan 2011 10:00:00 GMT", 1_293_876_000_000),
        ("20110101", 1_293_840_000_000),
        (20110101, 1_293_840_000_000),
    ],
)
def test_times_are_epoch_milliseconds(value, expected):
    """ISO 8601, epochs of any unit and the common date formats agree."""
    assert timestamp_of(value) == expected


@pytest.mark.parametrize(
    "value", ["", "soon", None, True, "2011-13-01", "nan", "inf", {}, "1/2/2011", "31-12-2011"]
)
def test_what_is_no_time_is_refused(value):
    """Nothing is guessed: an ambiguous date is refused like a word."""
    with pytest.raises(ValueError, match=r"is no time|may start with"):
        timestamp_of(value)


def test_json_written_by_other_programs_is_read(write):
    """A row's keys may be any text."""
    row = {"": 1, "a b": 2, 'q"': 3, "ü": 4, "a.b": 5}
    assert list(rows(write(json.dumps(row)))) == [row]
