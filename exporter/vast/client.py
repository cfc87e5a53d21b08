"""One request to the API: key, pace, retries, limits of time and size, errors in words."""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode, urljoin, urlsplit

import requests
import urllib3

from exporter.vast.errors import (
    ApiError,
    AuthError,
    BadReplyError,
    ClientError,
    NetworkError,
    RateLimitedError,
    ServerError,
    SlowError,
)
from exporter.vast.pace import LONGEST_WAIT, Endpoint, Paces
from exporter.vast.transport import Deadline, Wire, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: How often one request is tried in all, where a further try may help.
ATTEMPTS = 3
#: Seconds before the second try; doubled for each one after it.
FIRST_BACKOFF = 1.0
#: Bytes of a decoded reply. A page of 25 rows has some 100 KB.
LARGEST_REPLY = 32 * 2**20
#: Redirects followed on the same host.
REDIRECTS = 3
CHUNK = 65536

_THRESHOLD = re.compile(r"threshold\s*=\s*([0-9]{1,6}(?:\.[0-9]{1,9})?)")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request that was made: the endpoint, the status or "error", and its seconds."""

    endpoint: Endpoint
    code: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every client of one configuration shares.

    Attributes:
        url: base URL of the API, without a slash at the end.
        timeout: seconds for one request, from its start to the last byte of the reply.
        user_agent: name and version of this program.
        paces: the pace of every key in use.
        clock: monotonic seconds.
        wall_clock: seconds since the epoch, for a Retry-After that is a date.
        jitter: a number in [0, 1), new at each call.

    """

    url: str
    timeout: float
    user_agent: str
    paces: Paces
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    jitter: Callable[[], float]


class Client:
    """The API with one account's key, for one thread.

    Args:
        options: what all clients share.
        key: reads the account's key; asked before each request, so that a rotated key is used at once.
        wait: sleeps for some seconds, or raises `Stopped`.
        observe: told of each request that was made.

    """

    def __init__(
        self,
        options: Options,
        *,
        key: Callable[[], str],
        wait: Callable[[float], None],
        observe: Callable[[Attempt], None],
    ) -> None:
        self._options = options
        self._key = key
        self._wait = wait
        self._observe = observe
        self._wire = Wire(options.clock)
        self._session = session(self._wire)

    def get(self, endpoint: Endpoint, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON object that `endpoint` answers, trying again what may pass.

        Raises:
            ApiError: the last try's.
            Stopped: from a wait.

        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._try(endpoint, params)
            except ApiError as error:
                if not error.passing or attempt == ATTEMPTS:
                    raise
                self._wait(self._backoff(endpoint, error, attempt))
        raise AssertionError  # ATTEMPTS is at least 1

    def _backoff(self, endpoint: Endpoint, error: ApiError, attempt: int) -> float:
        delay = FIRST_BACKOFF * (1 << attempt - 1) * (0.5 + self._options.jitter() / 2)
        if isinstance(error, RateLimitedError):
            if error.threshold is not None:
                self._options.paces.of(self._key()).slow_down(endpoint, error.threshold)
            delay = max(delay, min(error.retry_after or 0.0, LONGEST_WAIT))
        return delay

    def _try(self, endpoint: Endpoint, params: Mapping[str, str]) -> dict[str, Any]:
        key = self._key()
        pace = self._options.paces.of(key)
        pace.turn(endpoint, self._wait)
        started = self._options.clock()
        code = "error"
        try:
            status, headers, body = self._request(endpoint, params, key)
            code = str(status)
        finally:
            pace.sent(endpoint, self._wire.sent_at)
            self._observe(Attempt(endpoint, code, self._options.clock() - started))
        return _answer(status, headers, body, self._options.wall_clock())

    def _request(
        self, endpoint: Endpoint, params: Mapping[str, str], key: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        url = f"{self._options.url}{endpoint.path}?{urlencode(params)}"
        deadline = Deadline(self._wire, self._options.timeout)
        try:
            with deadline:
                for _ in range(REDIRECTS + 1):
                    response = self._send(url, key)
                    with response:
                        if not response.is_redirect:
                            return response.status_code, response.headers, _body(response)
                        url = _redirected(url, response.headers.get("Location", ""))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if deadline.passed or isinstance(error, requests.Timeout):
                raise SlowError(f"no whole reply within {self._options.timeout:g} s") from error
            raise NetworkError(_words(error)) from error
        raise BadReplyError(f"more than {REDIRECTS} redirects")

    def _send(self, url: str, key: str) -> requests.Response:
        return self._session.get(
            url,
            headers={"User-Agent": self._options.user_agent, "Accept": "application/json"},
            auth=_Bearer(key),
            timeout=self._options.timeout,
            allow_redirects=False,
            stream=True,
        )


class _Bearer(requests.auth.AuthBase):
    """The key as a header; being an `auth`, it also keeps `requests` from taking one out of ~/.netrc."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _redirected(url: str, location: str) -> str:
    """Return the URL of a redirect to the same host, port and scheme; the key goes nowhere else."""
    target = urljoin(url, location)
    here, there = urlsplit(url), urlsplit(target)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc) or not location:
        raise BadReplyError(
            f"a redirect to another address ({there.scheme}://{there.hostname}), not followed"
        )
    return target


def _body(response: requests.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(CHUNK):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_REPLY:
            raise BadReplyError(f"HTTP {response.status_code} with more than {LARGEST_REPLY >> 20} MiB")
    return b"".join(pieces)


def _answer(status: int, headers: Mapping[str, str], body: bytes, now: float) -> dict[str, Any]:
    """Return the object of a successful reply; raise what an unsuccessful one means."""
    reply = _json_object(body)
    error = str(reply.get("error", "")) if reply is not None else ""
    message = f"HTTP {status}{_says(reply, body)}"
    # The status alone does not tell: an unknown key is answered with 404.
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or error == "auth_error":
        raise AuthError(message)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        _rate_limited(message, headers, body, now)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ServerError(message)
    if status >= HTTPStatus.BAD_REQUEST:
        raise ClientError(message)
    if status != HTTPStatus.OK or reply is None or reply.get("success") is False:
        raise BadReplyError(message)
    return reply


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        reply = json.loads(body)
    except RecursionError:  # brackets without end
        return None
    except ValueError:  # no JSON, not UTF-8, or a number with more digits than Python converts
        reply = _json_with_huge_numbers(body)
    return reply if isinstance(reply, dict) else None


def _json_with_huge_numbers(body: bytes) -> object:
    """Read JSON whose integers may have thousands of digits: as floats, so that just their sample is lost."""
    try:
        return json.loads(body, parse_int=lambda digits: int(digits) if len(digits) < 100 else float(digits))  # noqa: PLR2004
    except (ValueError, RecursionError):
        return None


def _says(reply: dict[str, Any] | None, body: bytes) -> str:
    """Return what a reply says of itself, in one short line; never its rows."""
    if reply is None:
        kind = "HTML" if body.lstrip()[:1] == b"<" else "something that is no JSON object"
        return f", {kind} of {len(body)} bytes" if body else ", an empty reply"
    words = [
        str(reply[key]) for key in ("error", "msg", "message", "detail") if isinstance(reply.get(key), str)
    ]
    text = re.sub(r"[^\x20-\x7e]+", " ", ": ".join(words))[:200]
    return f" ({text})" if text else ""


def _rate_limited(message: str, headers: Mapping[str, str], body: bytes, now: float) -> NoReturn:
    found = _THRESHOLD.search(body[:4096].decode("utf-8", "replace"))
    threshold = float(found[1]) if found else None
    named = f", threshold {threshold:g} s" if threshold is not None else ""
    raise RateLimitedError(
        f"too many requests ({message.partition(',')[0]}{named})",
        threshold=threshold,
        retry_after=_retry_after(headers.get("Retry-After", ""), now),
    )


def _retry_after(value: str, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for; it holds seconds or a date."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _words(error: BaseException) -> str:
    """Return why there was no reply: the innermost cause, without the URL that `requests` names."""
    seen: set[int] = set()
    cause: BaseException | None = error
    last = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        last = cause
        inner = getattr(cause, "reason", None) or next(
            (a for a in cause.args if isinstance(a, BaseException)), None
        )
        cause = inner if isinstance(inner, BaseException) else cause.__cause__ or cause.__context__
    if isinstance(last, ssl.SSLError):
        return f"TLS failed: {getattr(last, 'verify_message', '') or last.reason or 'handshake'}"
    if isinstance(last, OSError) and last.strerror:
        return f"no connection: {last.strerror}"
    if isinstance(last, urllib3.exceptions.IncompleteRead):
        return "the reply broke off"
    return f"the connection failed ({type(last).__name__})"
