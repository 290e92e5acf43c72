"""A deployment for a test: its definition in a file, its topics on a broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream import toml
from stream.adapters.topics import create_topics, delete_topics
from stream.settings import Settings, load_settings


@contextmanager
def deployed_in(folder: Path, definition: dict[str, Any]) -> Iterator[Settings]:
    """Write a definition and make its topics; delete these afterwards."""
    file = folder / "deployment.toml"
    file.write_text("\n".join(toml.document(definition)), encoding="utf-8")
    settings = load_settings(file, {})
    create_topics(settings)
    try:
        yield settings
    finally:
        delete_topics(settings)
