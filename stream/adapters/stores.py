"""Which store a deployment keeps its state in."""

from learners.definition import parse_duration
from stream.ports import StateStore
from stream.settings import Settings


def open_store(settings: Settings) -> StateStore:
    """Return the store that ``[snapshots]`` names; nothing is written or asked yet.

    Raises
    ------
    MeanderError
        When its address cannot be understood.
    """
    snapshots = settings.snapshots
    if snapshots.store == "files":
        from stream.adapters.file_store import FileStore

        return FileStore(settings.folder, snapshots.keep)
    from stream.adapters.redis_store import RedisStore  # redis-py takes a while to import

    lease = parse_duration(settings.kafka.session_timeout, "kafka.session_timeout") / 1000
    return RedisStore(
        snapshots.url or "",
        settings.definition.name,
        snapshots.keep,
        lease,
        settings.beside(snapshots.ca_file),
    )
