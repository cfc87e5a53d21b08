"""What can be asked of the API: a method, a path and the pace that its vendor documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

#: `api` is the console's host; `run` that of serverless workers.
Host = Literal["api", "run"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the API.

    Attributes:
        path: as the API documents it, with a name in braces for each part that varies; the label `path`.
        threshold: least seconds between two requests with one key.
        method: of HTTP.
        host: which of the API's hosts answers.
        documented: whether the threshold is the vendor's; if not, it is assumed.
        bare_list: the name under which a reply that is just a list is given; "" where that is no reply.

    """

    path: str
    threshold: float
    method: Literal["GET", "POST"] = "GET"
    host: Host = "api"
    documented: bool = True
    bare_list: str = ""

    def filled(self, **parts: object) -> str:
        """Return the path with `parts` in the place of their names."""
        return self.path.format(**{name: quote(str(part), safe="") for name, part in parts.items()})
