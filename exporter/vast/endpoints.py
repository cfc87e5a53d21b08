"""Describe an API endpoint: method, path and minimum interval between requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

#: `api` is the console's host; `run` is the host for serverless workers.
Host = Literal["api", "run"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the API.

    Attributes:
        path: path as documented, with a placeholder in braces for each variable part; the label `path`.
        threshold: minimum seconds between two requests with one key.
        method: HTTP method.
        host: the API host that serves it.
        documented: whether the vendor documents the threshold; if not, it is an assumption.
        bare_list: field name under which to return a reply that is a bare list; "" if a bare list is an
            error.

    """

    path: str
    threshold: float
    method: Literal["GET", "POST"] = "GET"
    host: Host = "api"
    documented: bool = True
    bare_list: str = ""

    def filled(self, **parts: object) -> str:
        """Return the path with its placeholders replaced by `parts`."""
        return self.path.format(**{name: quote(str(part), safe="") for name, part in parts.items()})
