"""A real Prometheus takes whatever texts users write, in both formats, and gives them back."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from exporter.collectors import COLLECTORS
from exporter.exposition.body import OPENMETRICS, TEXT
from exporter.exposition.table import METRICS
from exporter.metrics.values import LONGEST_TEXT
from tests.support import things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.pipeline import Account, Exporter

pytestmark = pytest.mark.peers

FORMATS = ("text", "openmetrics")
#: Texts that something between a user and a query might choke on.
TEXTS = [
    "plain",
    'quotes " and \\ backslashes \\" \\n',
    "two\nlines",
    "\0",
    "before\0behind",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x85",
    "\r\n",
    "\u2028\u2029\ufeff\ufffe\uffff\U0010ffff",
    "\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5}",
    "half a pair: \ud83d",
    5000 * "x",
    5000 * "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "# EOF",
    '",instance_id="5"} 1 # {a="b"} 2',
]


#: Those of them that are too long, as they are shown.
SHOWN = {
    5000 * "x": 497 * "x" + "\N{HORIZONTAL ELLIPSIS}",
    5000 * "\N{LATIN SMALL LETTER E WITH ACUTE}": 248 * "\N{LATIN SMALL LETTER E WITH ACUTE}"
    + "\N{HORIZONTAL ELLIPSIS}",
}


@contextmanager
def served(exporter: Exporter, scrapes: Mapping[str, threading.Semaphore]) -> Iterator[str]:
    """Serve each format of `scrapes` under its name; its semaphore is released by each scrape of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            form = self.path.removeprefix("/")
            openmetrics = form == "openmetrics"
            body = exporter.scrape(openmetrics=openmetrics)
            self.send_response(200)
            self.send_header("Content-Type", OPENMETRICS if openmetrics else TEXT)
            self.end_headers()
            self.wfile.write(body)
            scrapes[form].release()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def both(begin_prometheus: Callable[[Mapping[str, object]], str]) -> Callable[..., str]:
    """Run Prometheus with both formats of an address, and return where it is asked."""

    def begin(target: str, **limits: int) -> str:
        jobs = [
            {
                "job_name": name,
                "metrics_path": f"/{name}",
                "static_configs": [{"targets": [target]}],
                **limits,
            }
            for name in FORMATS
        ]
        return begin_prometheus({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs})

    return begin


def answer(url: str) -> Any:  # noqa: ANN401 - JSON
    with urlopen(url, timeout=10) as response:  # noqa: S310 - our own loopback address
        return json.load(response)["data"]


def test_every_text_of_a_user_comes_back_from_a_query(
    new_exporter: Callable[..., Exporter], both: Callable[..., str]
) -> None:
    exporter = new_exporter(collectors=(*COLLECTORS, things.COLLECTOR))
    rows = [
        {"id": number, "label": text, "gpu_name": text, "actual_status": text, "num_gpus": 1}
        for number, text in enumerate(TEXTS, start=1)
    ]
    account = exporter.account()
    account.walk(rows)
    counted = {text.replace("\ud83d", ""): number for number, text in enumerate(TEXTS)}
    made = [{"name": text, "starts": number} for text, number in counted.items()]
    account.collect(things.COLLECTOR, {"things": made})
    scrapes = {form: threading.Semaphore(0) for form in FORMATS}
    with served(exporter, scrapes) as target:
        url = both(target)
        # The second scrape of a job begins when the first is stored.
        assert all(scrapes[form].acquire(timeout=60) for form in 2 * FORMATS)
        targets = answer(f"{url}/api/v1/targets")["activeTargets"]
        assert [(found["health"], found["lastError"]) for found in targets] == 2 * [("up", "")]
        for job in FORMATS:
            series = answer(f"{url}/api/v1/query?query=" + quote(f'vastai_instance_info{{job="{job}"}}'))
            infos = [sample["metric"] for sample in series["result"]]
            assert {int(info["instance_id"]): info["label"] for info in infos} == {
                number: SHOWN.get(text, text).replace("\ud83d", "\N{REPLACEMENT CHARACTER}")
                for number, text in enumerate(TEXTS, start=1)
            }
            series = answer(f"{url}/api/v1/query?query=" + quote(f'vastai_thing_starts_total{{job="{job}"}}'))
            starts = {sample["metric"]["thing"]: float(sample["value"][1]) for sample in series["result"]}
            assert starts == counted


def test_no_text_of_a_user_exceeds_the_limits_that_the_documents_name(
    exporter: Exporter, account: Account, both: Callable[..., str]
) -> None:
    texts = [5000 * "x", 5000 * "\N{GRINNING FACE}", 125 * "\N{GRINNING FACE}", 500 * '"']
    columns = ("label", "gpu_name", "image_uuid", "template_name", "geolocation", "verification")
    names = (*columns, "actual_status", "intended_status", "cur_state", "next_state")
    account.walk([{"id": number, **dict.fromkeys(names, text)} for number, text in enumerate(texts, start=1)])
    scrapes = {form: threading.Semaphore(0) for form in FORMATS}
    # job and instance are Prometheus's own, beside those of the metric with most labels, and its name.
    most = max(len(metric.labels) for metric in METRICS) + 3
    limits = {"label_value_length_limit": LONGEST_TEXT, "label_limit": most}
    with served(exporter, scrapes) as target:
        url = both(target, **limits)
        assert all(scrapes[form].acquire(timeout=60) for form in 2 * FORMATS)
        targets = answer(f"{url}/api/v1/targets")["activeTargets"]
        assert [(found["health"], found["lastError"]) for found in targets] == 2 * [("up", "")]
