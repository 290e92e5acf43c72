"""Where the keys of snapshots come from: the environment, a file, or one made here for development."""

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from learners.errors import DefinitionError, MeanderError
from learners.snapshot import Keys
from stream.settings import Settings, secret

NAME = "MEANDER_SNAPSHOT_KEY"
DEVELOPMENT = "development.key"


def load_keys(settings: Settings, environ: Mapping[str, str] | None = None) -> tuple[Keys, list[str]]:
    """Return the keys of a deployment, and a sentence for each thing about them that is not safe.

    Where none is given one is made in the snapshot folder, readable by its owner only.

    Raises
    ------
    DefinitionError
        When a file cannot be read, or a key is too short.
    """
    given = secret(os.environ if environ is None else environ, NAME)
    where, advice = NAME, []
    if given is None:
        path = settings.beside(settings.snapshots.key_file)
        where = "snapshots.key_file"
        file = Path(path) if path else _development(settings.folder)
        try:
            given = file.read_text(encoding="utf-8")
            mode = file.stat().st_mode & 0o777
        except (OSError, UnicodeDecodeError) as error:
            raise DefinitionError(where, f"{file} cannot be read: {error}", "Put a key into it") from None
        if not path:
            advice.append(
                f"snapshots are signed with {file}, a key made for development: whoever can write snapshots "
                f"there can read it too. For production set {NAME}, the same for all workers"
            )
        elif mode & 0o077:
            advice.append(f"{file} can be read by others than its owner: chmod 600 {file}")
    try:
        return Keys(*(key.strip() for key in re.split(r"[,\n]", given) if key.strip())), advice
    except MeanderError as error:
        raise DefinitionError(where, "is no key", str(error)) from None


def _development(folder: Path) -> Path:
    """Return the file of a key made here, once, whoever else makes one at the same moment."""
    file = folder / DEVELOPMENT
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        handle, mine = tempfile.mkstemp(dir=folder, prefix=f"{DEVELOPMENT}.")  # for its owner only
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(secrets.token_hex(32) + "\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(mine, file)  # fails where somebody was quicker: then theirs it is
        except FileExistsError:
            pass
        finally:
            os.unlink(mine)
    return file
