"""One request to the API: key, pace, retries, limits of time and size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
import urllib3

from exporter.vast.errors import ApiError, BadReplyError, RateLimitedError
from exporter.vast.failures import failure
from exporter.vast.replies import Reply
from exporter.vast.transport import Adapter, Wire, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.vast.pace import Endpoint, Paces

#: How often one request is tried in all, where a further try may help.
ATTEMPTS = 3
#: Seconds before the second try; doubled for each one after it.
FIRST_BACKOFF = 1.0
#: Bytes of a decoded reply. A page of 25 rows has some 100 KB.
LARGEST_REPLY = 8 * 2**20
#: Redirects followed on the same host.
REDIRECTS = 3
CHUNK = 65536


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

    Attributes:
        options: what all clients share; may be replaced by others for the same URL.

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
        self.options = options
        self._key = key
        self._wait = wait
        self._observe = observe
        self._wire = Wire()
        self._adapter = Adapter(self._wire)
        self._environment = environment(options.url)
        self._request = requests.PreparedRequest()
        self._request.prepare_method("GET")
        accepted = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        self._request.prepare_headers({"User-Agent": options.user_agent, **accepted})

    def close(self) -> None:
        """Close the connection."""
        self._adapter.close()

    def get(self, endpoint: Endpoint, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON object that `endpoint` answers, trying again what may pass.

        Raises:
            ApiError: the last try's.
            Stopped: from a wait.

        """
        query = f"?{urlencode(params)}" if params else ""
        url = f"{self.options.url}{endpoint.path}{query}"
        tries = 1
        while True:
            try:
                return self._ask(endpoint, url)
            except ApiError as error:
                if not error.passing or tries == ATTEMPTS:
                    raise
            self._wait(FIRST_BACKOFF * (1 << tries - 1) * (0.5 + self.options.jitter() / 2))
            tries += 1

    def _ask(self, endpoint: Endpoint, url: str) -> dict[str, Any]:
        """Ask once, which is more than one request where the API redirects it."""
        for _ in range(REDIRECTS + 1):
            key = self._key()
            reply = self._reply(endpoint, url, key)
            target = reply.redirect(url)
            if target is None:
                return self._content(endpoint, reply, key)
            url = target
        raise BadReplyError(f"more than {REDIRECTS} redirects")

    def _content(self, endpoint: Endpoint, reply: Reply, key: str) -> dict[str, Any]:
        try:
            return reply.content(key=key, now=self.options.wall_clock())
        except RateLimitedError as error:
            pace = self.options.paces.of(key)
            pace.refused(endpoint, threshold=error.threshold, retry_after=error.retry_after)
            raise

    def _reply(self, endpoint: Endpoint, url: str, key: str) -> Reply:
        """Make one HTTP request when its turn comes."""
        pace = self.options.paces.of(key)
        pace.turn(endpoint, self._wait)
        started = self.options.clock()
        code = "error"
        try:
            reply = self._send(url, key, leaving=lambda: pace.leaving(endpoint))
            code = str(reply.status)
        finally:
            self._observe(Attempt(endpoint, code, self.options.clock() - started))
        return reply

    def _send(self, url: str, key: str, leaving: Callable[[], None]) -> Reply:
        # Prepared by hand: `requests` would read the environment anew for each page, ~/.netrc included, and
        # quote again, twice and slowly, what is quoted already.
        self._request.url = url
        self._request.headers["Authorization"] = f"Bearer {key}"
        timeout = self.options.timeout
        self._wire.begin(timeout, leaving)
        try:
            with self._adapter.send(
                self._request, stream=True, timeout=timeout, **self._environment
            ) as response:
                return Reply(response.status_code, response.headers, _body(response))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise failure(error, timeout=timeout) from error


def _body(response: requests.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(CHUNK):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_REPLY:
            raise BadReplyError(f"HTTP {response.status_code} with more than {LARGEST_REPLY >> 20} MiB")
    return b"".join(pieces)
