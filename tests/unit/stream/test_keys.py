"""The keys of snapshots: given, or made once for development."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from learners.errors import DefinitionError
from learners.snapshot import Keys
from stream.adapters.keys import load_keys
from stream.settings import Settings, Snapshots
from tests.support import definition

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"


def settings(folder: Path, key_file: str | None = None) -> Settings:
    return Settings(
        definition=definition(), file=str(folder / "d.toml"), snapshots=Snapshots(key_file=key_file)
    )


def test_a_development_key_is_made_once(tmp_path: Path) -> None:
    """Beside the snapshots, for its owner only, with a warning; the same from then on, whoever asks first."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_keys(settings(tmp_path), {})[0].ids, range(8)))
    assert len({tuple(ids) for ids in found}) == 1
    (file,) = (tmp_path / "snapshots").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    (advice,) = load_keys(settings(tmp_path), {})[1]
    assert "For production set MEANDER_SNAPSHOT_KEY" in advice


def test_keys_of_a_file(tmp_path: Path) -> None:
    """One a line, the first signs; a file that others can read is told."""
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n{OTHER}\n")
    file.chmod(0o600)
    keys, advice = load_keys(settings(tmp_path, "keys"), {})
    assert keys.ids == Keys(KEY, OTHER).ids
    assert advice == []
    file.chmod(0o644)
    assert f"chmod 600 {file}" in load_keys(settings(tmp_path, "keys"), {})[1][0]
    assert not (tmp_path / "snapshots").exists()


def test_keys_of_the_environment_come_first(tmp_path: Path) -> None:
    """Separated by commas, or in a file that the environment names."""
    file = tmp_path / "secret"
    file.write_text(OTHER)
    for environment in (
        {"MEANDER_SNAPSHOT_KEY": f"{KEY},{OTHER}"},
        {"MEANDER_SNAPSHOT_KEY": f"{KEY}, {OTHER}", "MEANDER_SNAPSHOT_KEY_FILE": "none"},
    ):
        assert load_keys(settings(tmp_path, "none"), environment)[0].ids == Keys(KEY, OTHER).ids
    keys, advice = load_keys(settings(tmp_path), {"MEANDER_SNAPSHOT_KEY_FILE": str(file)})
    assert (keys.ids, advice) == (Keys(OTHER).ids, [])


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    """A file that is not there or empty, a key that is too short; and the key itself is not repeated."""
    with pytest.raises(DefinitionError, match=r"snapshots.key_file: .*cannot be read"):
        load_keys(settings(tmp_path, "none"), {})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(DefinitionError, match=r"snapshots.key_file: .*16 characters or more.*openssl"):
        load_keys(settings(tmp_path, "empty"), {})
    with pytest.raises(DefinitionError, match="MEANDER_SNAPSHOT_KEY: ") as caught:
        load_keys(settings(tmp_path), {"MEANDER_SNAPSHOT_KEY": "hush"})
    assert "hush" not in str(caught.value)
