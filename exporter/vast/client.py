"""Send one API request with key, pacing, retries, and limits on time and size."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
import urllib3

from exporter.vast.errors import ApiError, BadReplyError, RateLimitedError
from exporter.vast.failures import failure
from exporter.vast.replies import Reply
from exporter.vast.transport import Adapter, Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.vast.endpoints import Endpoint, Host
    from exporter.vast.network import Network
    from exporter.vast.pace import Paces

#: Maximum attempts for a request whose failure may be transient.
ATTEMPTS = 3
#: Seconds before the second attempt; doubles after each further one.
FIRST_BACKOFF = 1.0
#: Maximum size of a decoded reply in bytes. A page of 25 rows has about 100 KB.
LARGEST_REPLY = 8 * 2**20
#: Maximum number of redirects to follow, all on the same host.
REDIRECTS = 3
CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request that was sent.

    Attributes:
        endpoint: the endpoint.
        code: HTTP status code, or "error" if there was no reply.
        seconds: duration in seconds.
        headers: reply headers, with case-insensitive names.

    """

    endpoint: Endpoint
    code: str
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options shared by all clients of one configuration.

    Attributes:
        urls: base URL of each API host, without a trailing slash; the key is sent nowhere else.
        timeout: seconds for one request, from its start to the last byte of the reply.
        user_agent: name and version of this program.
        network: proxies, certificates and addresses.
        paces: the pace of every key in use.
        clock: returns monotonic seconds.
        wall_clock: returns seconds since the epoch, for a Retry-After that is a date.
        jitter: returns a new random number in [0, 1).

    """

    urls: Mapping[Host, str]
    timeout: float
    user_agent: str
    network: Network
    paces: Paces
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    jitter: Callable[[], float]


class Client:
    """API client with one account's key, for use by one thread.

    Attributes:
        options: options shared by all clients; may be replaced by options for the same hosts.

    Args:
        options: options shared by all clients.
        key: returns the account's key; called before each request, so that a rotated key takes effect at
            once.
        wait: sleeps for the given seconds, or raises `Stopped`.
        observe: called after each request.

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
        self._deadline = Deadline(options.network)
        self._adapter: Adapter | None = None
        self._request = requests.PreparedRequest()
        accepted = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        self._request.prepare_headers({"User-Agent": options.user_agent, **accepted})

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._adapter is not None:
            self._adapter.close()
            self._adapter = None

    def ask(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str] | None = None,
        *,
        body: object = None,
        **parts: object,
    ) -> dict[str, Any]:
        """Return the JSON object from `endpoint`, retrying after transient failures.

        Args:
            endpoint: the endpoint.
            params: query parameters.
            body: JSON request body, if the endpoint needs one.
            parts: values for the placeholders in the endpoint's path, by name.

        Raises:
            ApiError: the last attempt failed.
            Stopped: the wait was interrupted.

        """
        query = f"?{urlencode(params)}" if params else ""
        url = f"{self.options.urls[endpoint.host]}{endpoint.filled(**parts)}{query}"
        content = None if body is None else json.dumps(body).encode()
        tries = 1
        while True:
            try:
                return self._ask(endpoint, url, content)
            except ApiError as error:
                if not error.passing or tries == ATTEMPTS:
                    raise
            self._wait(FIRST_BACKOFF * (1 << tries - 1) * (0.5 + self.options.jitter() / 2))
            tries += 1

    def _ask(self, endpoint: Endpoint, url: str, content: bytes | None) -> dict[str, Any]:
        """Make one attempt, which takes several requests if the API redirects."""
        for _ in range(REDIRECTS + 1):
            key = self._key()
            reply = self._reply(endpoint, url, content, key)
            target = reply.redirect(url)
            if target is None:
                return self._content(endpoint, reply, key)
            url = target
        raise BadReplyError(f"more than {REDIRECTS} redirects", status=reply.status)

    def _content(self, endpoint: Endpoint, reply: Reply, key: str) -> dict[str, Any]:
        try:
            return reply.content(key=key, now=self.options.wall_clock(), bare_list=endpoint.bare_list)
        except RateLimitedError as error:
            pace = self.options.paces.of(key)
            pace.refused(endpoint, threshold=error.threshold, retry_after=error.retry_after)
            raise

    def _reply(self, endpoint: Endpoint, url: str, content: bytes | None, key: str) -> Reply:
        """Send one HTTP request as soon as the pace allows it."""
        pace = self.options.paces.of(key)
        pace.turn(endpoint, self._wait)
        started = self.options.clock()
        code = "error"
        headers: Mapping[str, str] = {}
        try:
            self._prepare(endpoint, url, content, key)
            reply = self._send(endpoint, leaving=lambda: pace.leaving(endpoint))
            code, headers = str(reply.status), reply.headers
        finally:
            self._observe(Attempt(endpoint, code, self.options.clock() - started, headers))
        return reply

    def _prepare(self, endpoint: Endpoint, url: str, content: bytes | None, key: str) -> None:
        # Prepared by hand: `requests` would read the environment and ~/.netrc again for each page, and would
        # quote the quoted URL again, twice and slowly.
        request = self._request
        request.method, request.url, request.body = endpoint.method, url, content
        request.headers["Authorization"] = f"Bearer {key}"
        if content is None:
            request.headers.pop("Content-Type", None)
            request.headers.pop("Content-Length", None)
        else:
            request.headers.update({"Content-Type": "application/json", "Content-Length": str(len(content))})

    def _send(self, endpoint: Endpoint, leaving: Callable[[], None]) -> Reply:
        if self._adapter is None:
            self._adapter = Adapter(self._deadline, self.options.network)
        timeout = self.options.timeout
        environment = self.options.network.environment(self.options.urls[endpoint.host])
        self._deadline.begin(timeout, leaving)
        try:
            with self._adapter.send(self._request, stream=True, timeout=timeout, **environment) as response:
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
            message = f"HTTP {response.status_code} with more than {LARGEST_REPLY >> 20} MiB"
            raise BadReplyError(message, status=response.status_code)
    return b"".join(pieces)
