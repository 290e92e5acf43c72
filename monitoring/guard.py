"""Who may ask what: Host names, cross-site requests, tokens, sessions, headers of every answer.

References
----------
OWASP Cheat Sheets on Cross-Site Request Forgery Prevention and HTTP Headers. On DNS rebinding:
C. Jackson et al., *Protecting browsers from DNS rebinding attacks*, CCS 2007.
"""

import hashlib
import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import get_args

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from learners.errors import MeanderError
from monitoring.control import Problem, RefusedError
from stream.messages import Action
from stream.settings import Web

log = logging.getLogger("meander.ops")

COOKIE = "meander-session"
HOURS = 8
LARGEST = 16_384  # bytes of a request
LARGEST_OF = {"/api/v1/predict": 1_000_000}
ATTEMPTS, MINUTE = 5, 60.0  # wrong tokens of an address in a minute
MOST_ADDRESSES = 1000  # whose wrong tokens are counted
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
STRANGER = (
    "This token is not known here. `meander operator NAME` makes one, and its line for [web] operators."
)
NOT_FOUND = "There is nothing at this path. docs/openapi.json lists what there is, and the page is at /ops/."
SEE = "docs/openapi.json says what is taken."
KNOWN = {"action": get_args(Action)}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class InsecureError(MeanderError):
    """Settings under which the web server would be open to anybody."""


def read_operators(file: Path) -> dict[str, str]:
    """Read a file of ``name = sha256(token)`` lines; returns names by digest.

    Raises
    ------
    InsecureError
        When it cannot be read, or holds something else.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InsecureError(f"[web] operators: {file} cannot be read: {error.strerror}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, digest = (part.strip() for part in line.partition("="))
        if not name or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise InsecureError(
                f"{file} line {number} is not `name = sha256`. Make one with: "
                "meander operator NAME  (it prints a token and its line)"
            )
        found[digest] = name
    return found


def is_loopback(host: str) -> bool:
    """Whether a web server bound here can be reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Decides who may do what on one web server.

    Parameters
    ----------
    settings
        Where it listens, which names it answers to.
    operators
        Names by digest of their token; empty: nobody has one.

    Raises
    ------
    InsecureError
        When it would listen beyond this machine and nobody needs a token.
    """

    def __init__(self, settings: Web, operators: dict[str, str]) -> None:
        if not operators and not is_loopback(settings.host):
            raise InsecureError(
                f"[web] host = {settings.host!r} can be reached from other machines, and nobody would need a "
                "token. Name a file of operators (operators = ...), or listen on 127.0.0.1"
            )
        self._operators = operators
        self._hosts = _LOOPBACK | {name.lower() for name in (settings.host, *settings.hosts)}
        self._sessions: dict[str, tuple[str, float]] = {}
        self._failures: dict[str, list[float]] = {}

    @property
    def needs_token(self) -> bool:
        """Whether actions need a token."""
        return bool(self._operators)

    def operator(self, request: web.Request) -> str | None:
        """Return whom the request's token or session names; None: nobody.

        Raises
        ------
        RefusedError
            401: a wrong token, or none where one is needed.
        """
        header = request.headers.get("Authorization", "")
        if header.startswith("Bearer "):
            name = self._name_of(header.removeprefix("Bearer ").strip())
            if name is None:  # not counted: else anybody behind the same proxy could lock operators out
                raise refuse(401, "wrong_token", STRANGER)
            return name
        name, until = self._sessions.get(request.cookies.get(COOKIE, ""), ("", 0.0))
        if name and time.monotonic() < until:
            return name
        if self._operators:
            raise refuse(401, "no_token", "Actions need an operator's token. Sign in first.")
        return None

    def sign_in(self, request: web.Request, token: str) -> tuple[str, str]:
        """Open a session; returns the operator's name and the cookie's value.

        Raises
        ------
        RefusedError
            401: a wrong token; 429: too many of them.
        """
        address, now = request.remote or "", time.monotonic()
        recent = [at for at in self._failures.pop(address, ()) if now - at < MINUTE]
        blocked = len(recent) >= ATTEMPTS
        name = None if blocked else self._name_of(token)
        if name is None:
            self._failures[address] = recent if blocked else [*recent, now]
            if len(self._failures) > MOST_ADDRESSES:
                del self._failures[next(iter(self._failures))]
            if blocked:
                raise refuse(429, "too_many_attempts", "Too many wrong tokens. Wait a minute.")
            raise refuse(401, "wrong_token", STRANGER)
        self._sessions = {k: v for k, v in self._sessions.items() if v[1] > now}
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = name, now + HOURS * 3600
        return name, cookie

    def sign_out(self, request: web.Request) -> None:
        """Close the session of a request."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)

    def _name_of(self, token: str) -> str | None:
        digest, found = hashlib.sha256(token.encode(errors="replace")).hexdigest(), None
        for known, name in self._operators.items():  # all of them, in the same time
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _check(self, request: web.Request) -> None:
        host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
        if not self._knows(host.strip("[]").lower()):
            raise refuse(421, "unknown_host", "This server is not called that: add the name to [web] hosts.")
        if request.method in ("GET", "HEAD"):
            return
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none") or (origin and origin.partition("://")[2] != request.host):
            sentence = "Another site may not act in your name. Open the page under this server's own address."
            raise refuse(403, "cross_site", sentence)
        if request.method == "POST" and request.content_length is None:
            raise refuse(411, "length_required", "Say how long the body is: Content-Length.")
        largest = LARGEST_OF.get(request.path, LARGEST)
        if (request.content_length or 0) > largest:
            raise refuse(413, "too_large", f"At most {largest} bytes are read. Send less at a time.")
        if request.method == "POST" and request.content_type != "application/json":
            raise refuse(415, "not_json", "Send application/json.")

    def _knows(self, host: str) -> bool:
        if host in self._hosts:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True  # an address cannot be rebound: only names can

    def middleware(self) -> Middleware:
        """Return what checks every request, and puts the headers on every answer."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._check(request)
                answer = await (_encoded(request) if _is_encoded(request) else handler(request))
            except web.HTTPException as error:
                if error.status < 400:
                    error.headers.update(HEADERS)
                    raise
                kind = error.reason.lower().replace(" ", "_")
                allow = error.headers.get("Allow", "")
                what = {404: NOT_FOUND, 405: f"This path takes {allow.replace(',', ', ')} alone."}
                title = what.get(error.status, f"{error.reason}.")
                answer = _told(Problem(type=kind, title=title, status=error.status))
                if allow:
                    answer.headers["Allow"] = allow
            except RefusedError as refused:
                answer = _told(refused.problem)
            except Exception:
                log.exception("request.failed method=%s path=%s", request.method, request.path)
                title = "Something went wrong here; the log says what."
                answer = _told(Problem(type="internal", title=title, status=500))
            if not answer.prepared:
                answer.headers.update(HEADERS)
            return answer

        return guarded


def _is_encoded(request: web.Request) -> bool:
    return request.headers.get("Content-Encoding", "identity").lower() != "identity"


async def _encoded(request: web.Request) -> web.Response:
    """Refuse a body that is encoded: what cannot be decoded would break off the answer, and fill the log."""
    with suppress(web.RequestPayloadError):
        await request.read()
    if request.content.exception() is not None:
        request.content.feed_eof()
    title = "Send the body as it is, without Content-Encoding."
    answer = _told(Problem(type="encoded", title=title, status=415))
    answer.force_close()
    return answer


def _told(problem: Problem) -> web.Response:
    body = msgspec.json.encode(problem)
    return web.Response(status=problem.status, body=body, content_type="application/problem+json")


def refuse(status: int, kind: str, title: str) -> RefusedError:
    """Return the error that is answered with a problem."""
    return RefusedError(Problem(type=kind, title=title, status=status))


def unread(error: Exception) -> RefusedError:
    """Return the error for a body that msgspec cannot read: 400 no JSON, 422 other JSON than is taken."""
    if not isinstance(error, msgspec.ValidationError):
        return refuse(400, "not_json", f"Not JSON: {error}. Send one JSON object in UTF-8.")
    said, _, place = str(error).partition(" - at `")
    field = place.rstrip("`").removeprefix("$.") or None
    known = f" There are: {', '.join(KNOWN[field])}." if field in KNOWN else ""
    title = f"{f'{field}: ' if field else ''}{said}.{known} {SEE}"
    return RefusedError(Problem(type="invalid", title=title, status=422, field=field))


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what reading a body may raise
