"""Send the requests of one collector once and record the replies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from exporter.collectors.assumptions.evidence import Answer, Evidence
from exporter.collectors.base import Run, Store
from exporter.collectors.fleet import Member, Rented
from exporter.metrics.fields import Problems
from exporter.vast.client import Client
from exporter.vast.errors import ApiError, Stopped
from exporter.vast.keys import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.collectors.assumptions.declaration import Question
    from exporter.config.models import Limits
    from exporter.logs import Redactor
    from exporter.polling.job import Job
    from exporter.vast.client import Attempt, Options
    from exporter.vast.endpoints import Endpoint
    from exporter.vast.errors import Reason

#: Maximum number of replies per collector, after which more add nothing: 8 pages are 200 instances.
MOST_ANSWERS = 8
#: Stands in for the account's fleet; any fleet would show as much about the market.
FLEET = tuple(
    Rented(
        account="",
        instance_id=0,
        member=Member(
            status="running",
            intended_status="running",
            since=0.0,
            label="",
            gpu_name="RTX 4090",
            gpus=1,
            burn=0.0,
            rental=rental,
            verified=True,
            machine_id="",
            gpu_price=None,
            end_date=None,
            queued=False,
        ),
    )
    for rental in ("on_demand", "interruptible", "reserved")
)
#: Failures after which all further requests would fail too.
UNREACHABLE: frozenset[Reason] = frozenset({"auth", "network", "timeout"})


class Interview:
    """The requests of one collector, and those of its assumptions.

    Attributes:
        collector: the collector.
        answers: results of the run's requests.
        further: result of an assumption's additional request, by its name.
        problems: unusable values in the run.
        failure: why the run failed, or None.
        ended: whether the run was completed.
        headers: headers of every reply.

    Args:
        job: the collector and the account.
        options: options of the API clients.
        limits: configured limits on the number of series.
        redact: learns the key before its use.
        wait: sleeps, or raises `Stopped` if there is not enough time.

    """

    def __init__(
        self,
        job: Job,
        options: Options,
        *,
        limits: Limits,
        redact: Redactor,
        wait: Callable[[float], None],
    ) -> None:
        self.collector = job.collector
        self.answers: list[Answer] = []
        self.further: dict[str, Answer] = {}
        self.problems = Problems()
        self.failure: Reason | None = None
        self.ended = False
        self.headers: list[Mapping[str, str]] = []
        self._job = job
        self._options = options
        self._limits = limits
        self._wait = wait
        key = reader(job.key, redact.learn)
        self._client = RecordingClient(options, key=key, wait=wait, observe=self._observe)
        self._client.record = self._keep

    def hold(self) -> None:
        """Send all requests."""
        self._run()
        for assumption in self.collector.assumptions:
            if assumption.question is not None:
                self._ask(assumption.name, assumption.question)
        self._client.close()

    def evidence(self, now: float) -> Evidence:
        """Return the results."""
        return Evidence(
            answers=tuple(self.answers),
            problems=self.problems,
            failure=self.failure,
            now=now,
            headers=tuple(self.headers),
        )

    def _run(self) -> None:
        """Run the collector as usual, until further replies add nothing."""
        run = Run(
            account=self._job.account,
            client=self._client,
            filters=self._job.filters,
            settings=self._job.settings,
            limits=self._limits,
            store=Store(),
            clock=self._options.clock,
            wall_clock=self._options.wall_clock,
            report=self._report,
            fleet=lambda: FLEET,
        )
        used = False
        try:
            for _ in self.collector.collect(run):
                used = True
            self.ended = True
        except Stopped:  # further replies would add nothing, or there is no time for them
            if self._client.full and not used:
                self.failure = next((each.error.reason for each in self.answers if each.error), "bad_reply")
        except ApiError as error:
            self.failure = error.reason
        except Exception:  # noqa: BLE001 - one collector's bug must not hide the results of the others
            self.failure = "internal"

    def _keep(self, answer: Answer) -> None:
        self.answers.append(answer)
        if len(self.answers) >= MOST_ANSWERS:
            self._client.full = True

    def _ask(self, name: str, question: Question) -> None:
        """Repeat the run's first request with the question's changes."""
        asked = self._client.first
        if asked is None or self.failure in UNREACHABLE:
            return
        self._client.record = lambda answer: self.further.__setitem__(name, answer)
        self._client.full = False
        try:
            if question.path:
                # The API may treat it as the same endpoint, so it must respect that pace too.
                self._options.paces.of(self._job.key.read()).turn(asked.endpoint, self._wait)
            endpoint = replace(asked.endpoint, path=question.path or asked.endpoint.path)
            self._client.ask(endpoint, {**asked.params, **question.params}, body=asked.body, **asked.parts)
        except Stopped:
            self.further[name] = Answer(endpoint=asked.endpoint)
        except ApiError as error:
            if name not in self.further:  # the key file is missing
                self.further[name] = Answer(endpoint=asked.endpoint, error=error)

    def _report(self, problems: Problems) -> None:
        self.problems.unreadable.update(problems.unreadable)
        self.problems.out_of_range.update(problems.out_of_range)

    def _observe(self, attempt: Attempt) -> None:
        self._client.codes.append(attempt.code)
        if attempt.headers:
            self.headers.append(attempt.headers)


@dataclass(frozen=True, slots=True)
class First:
    """The first request of a run."""

    endpoint: Endpoint
    params: Mapping[str, str]
    body: object
    parts: Mapping[str, object] = field(default_factory=dict)


class RecordingClient(Client):
    """An API client that records all results.

    Attributes:
        record: called with each result.
        first: the first request.
        codes: HTTP statuses of the current request.
        full: whether to refuse further requests.

    """

    record: Callable[[Answer], object]
    first: First | None = None
    full = False

    def __init__(self, options: Options, **how: Any) -> None:  # noqa: ANN401 - as in the base class
        super().__init__(options, **how)
        self.codes: list[str] = []

    def ask(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str] | None = None,
        *,
        body: object = None,
        **parts: object,
    ) -> dict[str, Any]:
        """Send a request; see `exporter.vast.client.Client.ask`."""
        if self.full:
            raise Stopped
        self.first = self.first or First(endpoint, params or {}, body, parts)
        self.codes.clear()
        try:
            reply = super().ask(endpoint, params, body=body, **parts)
        except ApiError as error:
            self.record(Answer(endpoint=endpoint, codes=tuple(self.codes), error=error))
            raise
        self.record(Answer(endpoint=endpoint, codes=tuple(self.codes), reply=reply))
        return reply
