"""Where a deployment runs: the definition plus Kafka, snapshots, web and columns, from one TOML file."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from learners.definition import Definition, convert, parse_definition, parse_duration
from learners.errors import DefinitionError

MASK = "********"
FOR_EVER = "forever"
Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class Kafka(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker: ``[kafka]``.

    Attributes
    ----------
    brokers
        ``host:port``, several separated by commas. ``MEANDER_BROKERS`` overrides it.
    replication
        Replication factor of topics that ``meander topics create`` makes.
    partitions
        Partitions of the topics it makes. Default: 1, with ``scope = "partition"`` 4.
    retention
        How long inputs and outputs must be kept, so that ``meander rebuild`` can learn them again:
        ``"90d"``, or ``"forever"``. ``meander topics create`` makes topics that keep so long, and a worker
        does not start where one keeps less. Default: as the broker has it (seven days, where nobody has
        changed that); a worker then says at its start how far back that is.
    security
        ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
    ca_file, certificate_file, key_file
        For TLS: who vouches for the broker, and our own certificate where it asks for one. Relative to the
        definition file.
    mechanism, username, password
        For SASL. ``MEANDER_KAFKA_PASSWORD``, or the file that ``MEANDER_KAFKA_PASSWORD_FILE`` names,
        overrides the password.
    session_timeout
        How long a silent worker keeps its partitions.
    instance_id
        A name of this worker's own, the same after each restart (static membership): a worker that is back
        within the session timeout goes on with its partitions, and nobody else notices. Each replica needs
        another: ``MEANDER_INSTANCE_ID`` overrides it. A worker that is stopped for good then keeps its
        partitions until the session ends.
    latest
        Whether the last prediction of each key also stands on the compacted topic ``<name>.latest``, which
        `meander topics create` makes then.
    transactions
        Whether each partition's outputs are written in transactions, under an id of the partition's own: a
        worker that was replaced can then send nothing any more, not even what it was about to write. Each
        answer waits for a commit; readers must read what is committed only (``isolation.level``), and a
        worker that dies holds them up until its partitions have another owner. Workers need the right to
        write under the ids ``meander.<name>.*``.
    embedded
        The broker is the small one of ``meander demo``, which knows no idempotent producer and tells inexact
        end offsets.
    """

    brokers: str = "localhost:9092"
    replication: int = 1
    partitions: int | None = None
    retention: str | None = None
    security: Security = "PLAINTEXT"
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: str | None = None
    session_timeout: str = "20s"
    instance_id: str | None = None
    latest: bool = False
    transactions: bool = False
    embedded: bool = False


class Snapshots(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where state is kept: ``[snapshots]``.

    Attributes
    ----------
    store
        ``files``, or ``redis`` where workers move between machines.
    folder
        For files; relative to the definition file.
    url
        For Redis: ``redis://user:password@host:6379/0``, with TLS ``rediss://``. ``MEANDER_REDIS_URL``, or
        the file that ``MEANDER_REDIS_URL_FILE`` names, overrides it.
    ca_file
        For Redis with TLS: who vouches for its certificate, when the system does not.
    key_file
        The keys that snapshots are authenticated with, one a line, of 16 characters or more: the first signs,
        all are accepted. ``MEANDER_SNAPSHOT_KEY`` (several: separated by commas), or the file that
        ``MEANDER_SNAPSHOT_KEY_FILE`` names, overrides it. Without any a key is made in ``folder``.
    every
        Time between two snapshots of a partition.
    keep
        How many are kept for each partition.
    """

    store: Literal["files", "redis"] = "files"
    folder: str = "snapshots"
    url: str | None = None
    ca_file: str | None = None
    key_file: str | None = None
    every: str = "1s"
    keep: int = 3


class Web(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worker's own web server: ``[web]``.

    Attributes
    ----------
    host, port
        Where it listens. Port 0: none. ``MEANDER_WEB_HOST`` and ``MEANDER_WEB_PORT`` override them.
    hosts
        Other names it may be asked by. A request for any other name is refused: a page of another site
        could have it point here.
    operators
        File of ``name = sha256`` lines, one for each operator: the digest of a token. Relative to the
        definition file; ``MEANDER_WEB_OPERATORS`` overrides it. Without it anybody on this machine may act,
        and beyond this machine nothing is served.
    show_values
        Whether page and API show values of features: the ones that a signal is about, the words of an error.
    ask_rate
        Events a second that are answered over HTTP at the most, by each worker.
    """

    host: str = "127.0.0.1"
    port: int = 6066
    hosts: tuple[str, ...] = ()
    operators: str | None = None
    show_values: bool = False
    ask_rate: float = 2000.0


class Columns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Columns of data files that are no features: ``[columns]``, for ``produce`` and ``replay``.

    Attributes
    ----------
    label
        The truth.
    id, key, timestamp
        The event's id, its entity and its event time. Without them: made of file name and row number,
        the id, and the time of sending.
    """

    label: str = "target"
    id: str | None = None
    key: str | None = None
    timestamp: str | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """Everything a process needs to know, resolved."""

    definition: Definition
    kafka: Kafka = field(default_factory=Kafka)
    snapshots: Snapshots = field(default_factory=Snapshots)
    web: Web = field(default_factory=Web)
    columns: Columns = field(default_factory=Columns)
    file: str | None = None

    def topic(self, suffix: str) -> str:
        """Return the full name of a topic, e.g. ``fraud.events``."""
        return f"{self.definition.name}.{suffix}"

    @property
    def partitions(self) -> int:
        """How many partitions `meander topics create` makes."""
        return self.kafka.partitions or (4 if self.definition.scope == "partition" else 1)

    @property
    def operators(self) -> Path | None:
        """The file of operators, resolved against the definition file."""
        base = Path(self.file).resolve().parent if self.file else Path.cwd()
        return base / self.web.operators if self.web.operators else None

    @property
    def folder(self) -> Path:
        """The snapshot folder, resolved against the definition file."""
        return self._base / self.snapshots.folder

    def beside(self, path: str | None) -> str | None:
        """Return a path of the definition file, resolved against it."""
        return None if path is None else str(self._base / path)

    @property
    def _base(self) -> Path:
        return Path(self.file).resolve().parent if self.file else Path.cwd()


_PARTS: dict[str, type[Struct]] = {"kafka": Kafka, "snapshots": Snapshots, "web": Web, "columns": Columns}


def load_settings(file: str | Path, environ: dict[str, str] | None = None) -> Settings:
    """Read a definition file.

    Raises
    ------
    DefinitionError
        Naming file, key and remedy.
    """
    path = Path(file)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DefinitionError("file", "does not exist", "Write one with: meander init", str(file)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError("file", f"is not TOML: {error}", "Mend that line", str(file)) from None
    return parse_settings(raw, str(file), environ)


def parse_settings(
    raw: dict[str, Any], file: str | None = None, environ: dict[str, str] | None = None
) -> Settings:
    """Build settings from parsed TOML; see `load_settings`."""
    env = os.environ if environ is None else environ
    raw = dict(raw)
    parts: dict[str, Any] = {}
    try:
        for name, struct in _PARTS.items():
            parts[name] = convert(raw.pop(name, {}), struct, name)
        parse_duration(parts["snapshots"].every, "snapshots.every")
        parse_duration(parts["kafka"].session_timeout, "kafka.session_timeout")
        if parts["kafka"].retention not in (None, FOR_EVER):
            parse_duration(parts["kafka"].retention, "kafka.retention")
    except DefinitionError as error:
        raise (error.in_file(file) if file else error) from None
    overrides = {
        "brokers": env.get("MEANDER_BROKERS"),
        "password": secret(env, "MEANDER_KAFKA_PASSWORD"),
        "instance_id": env.get("MEANDER_INSTANCE_ID"),
    }
    parts["kafka"] = msgspec.structs.replace(parts["kafka"], **{k: v for k, v in overrides.items() if v})
    files = {name: getattr(parts["kafka"], name) for name in ("ca_file", "certificate_file", "key_file")}
    if file and any(files.values()):
        base = Path(file).resolve().parent
        found = {name: str(base / path) for name, path in files.items() if path}
        parts["kafka"] = msgspec.structs.replace(parts["kafka"], **found)
    if url := secret(env, "MEANDER_REDIS_URL"):
        parts["snapshots"] = msgspec.structs.replace(parts["snapshots"], url=url)
    parts["web"] = _web(parts["web"], env, file)
    settings = Settings(definition=parse_definition(raw, file), file=file, **parts)
    _check(settings)
    return settings


def _web(web: Web, environ: Mapping[str, str], file: str | None) -> Web:
    changes: dict[str, Any] = {}
    if environ.get("MEANDER_WEB_HOST"):
        changes["host"] = environ["MEANDER_WEB_HOST"]
    if environ.get("MEANDER_WEB_PORT"):
        if not environ["MEANDER_WEB_PORT"].isdigit():
            raise DefinitionError("MEANDER_WEB_PORT", "is no number", "Set it to a port, e.g. 6066", file)
        changes["port"] = int(environ["MEANDER_WEB_PORT"])
    if environ.get("MEANDER_WEB_OPERATORS"):
        changes["operators"] = environ["MEANDER_WEB_OPERATORS"]
    return msgspec.structs.replace(web, **changes)


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """Return a secret of the environment, or of the file that ``<name>_FILE`` names; None: there is none.

    Raises
    ------
    DefinitionError
        When that file cannot be read.
    """
    value, file = environ.get(name), environ.get(f"{name}_FILE")
    if value or not file:
        return value or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(
            f"{name}_FILE", f"{file} cannot be read: {error}", "Name a file with nothing but the secret"
        ) from None


def _check(settings: Settings) -> None:
    if settings.snapshots.store == "redis" and not settings.snapshots.url:
        raise DefinitionError(
            "snapshots.url",
            'store = "redis" needs an address',
            "Set MEANDER_REDIS_URL, e.g. redis://localhost:6379/0",
            settings.file,
        )
    if settings.definition.scope == "deployment" and settings.partitions != 1:
        raise DefinitionError(
            "kafka.partitions",
            f'scope = "deployment" is one learner on one partition, not {settings.partitions}',
            'Use 1, or scope = "partition" for one learner each',
            settings.file,
        )


def masked(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain data, with secrets masked."""
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    if plain["kafka"]["password"]:
        plain["kafka"]["password"] = MASK
    if plain["snapshots"]["url"]:
        plain["snapshots"]["url"] = re.sub(r"//[^/@]*@", f"//{MASK}@", plain["snapshots"]["url"])
        plain["snapshots"]["url"] = re.sub(r"(password=)[^&]*", rf"\1{MASK}", plain["snapshots"]["url"])
    return plain
