"""Check the assumptions about the API against its replies to one account's key."""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter import logs
from exporter.collectors import COLLECTORS
from exporter.collectors.assumptions import everywhere
from exporter.collectors.assumptions.declaration import untold
from exporter.collectors.assumptions.evidence import Evidence
from exporter.collectors.assumptions.standing import assumptions_of
from exporter.commands import probe_report, streams
from exporter.commands.configuration import with_all_collectors
from exporter.commands.interview import Interview
from exporter.commands.probe_report import Asked, Report, Result
from exporter.commands.serve import set_up_logs
from exporter.config.mistakes import ConfigError
from exporter.polling.job import jobs, urls_of
from exporter.polling.poller import USER_AGENT
from exporter.vast.client import Options
from exporter.vast.errors import Stopped
from exporter.vast.network import Network
from exporter.vast.pace import Paces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.collectors import Collector
    from exporter.collectors.assumptions.declaration import Assumption, Check, Finding
    from exporter.collectors.assumptions.evidence import Answer
    from exporter.config.loading import Loaded

FAILED = 1
#: Seconds after which no request is started, and maximum timeout of a request: together a minute.
ASKING_SECONDS = 45.0
LONGEST_TIMEOUT = 15.0


def probe_account(loaded: Loaded, account: str | None, *, as_json: bool) -> int:
    """Probe with the key of an account, or of the first one, print the report, and return the exit code.

    Raises:
        ConfigError: the account does not exist.

    """
    chosen = [each for each in loaded.accounts if account in (None, each.name)][:1]
    if not chosen:
        names = ", ".join(each.name for each in loaded.accounts)
        raise ConfigError([f"--account: no such account; expected one of {names}"])
    redact = logs.Redactor()
    set_up_logs(loaded, redact, sys.stderr)
    logs.log_uncaught()
    # Without filters, since every row is evidence.
    alone = replace(loaded, accounts=(replace(chosen[0], select_filters={}),))
    prober = Prober(with_all_collectors(alone), redact=redact)
    sys.stderr.write("probing Vast.ai for up to a minute\n")
    report = prober.run()
    try:
        # The report contains no secrets. If it did, this would be the last safeguard.
        text = redact(probe_report.as_json(report) if as_json else probe_report.as_table(report))
        streams.put_on_standard_output(text.encode())
    except OSError as error:
        sys.stderr.write(f"standard output: can't be written: {error.strerror}\n")
        return FAILED
    return report.exit_code


class Prober:
    """Sends every collector's requests once, and checks all assumptions against the replies.

    Args:
        loaded: configuration of one account, with all collectors to probe enabled.
        redact: learns the key before its use.
        collectors: all collectors.
        seconds: seconds after which no request is started.
        clock: returns monotonic seconds.
        wall_clock: returns seconds since the epoch.
        sleep: sleeps for the given seconds.

    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        redact: logs.Redactor,
        collectors: Iterable[Collector] = COLLECTORS,
        seconds: float = ASKING_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._jobs = jobs(loaded, collectors, {})
        self._limits = loaded.config.limits
        self._redact = redact
        self._until = clock() + seconds
        self._clock = clock
        self._sleep = sleep
        api = loaded.config.api
        self._options = Options(
            urls=urls_of(api),
            timeout=min(api.timeout, LONGEST_TIMEOUT),
            user_agent=USER_AGENT,
            network=Network(),
            paces=Paces(clock=clock, min_interval=api.min_interval),
            clock=clock,
            wall_clock=wall_clock,
            jitter=random.random,
        )

    def run(self) -> Report:
        """Send the requests of all collectors, each in its own thread, and return the report."""
        interviews = [
            Interview(job, self._options, limits=self._limits, redact=self._redact, wait=self._wait)
            for job in self._jobs
        ]
        # Daemon threads, so that no wait outlives the program.
        threads = [threading.Thread(target=each.hold, daemon=True) for each in interviews]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return report_of(interviews, now=self._options.wall_clock())

    def _wait(self, seconds: float) -> None:
        if self._clock() + seconds > self._until:
            raise Stopped
        self._sleep(seconds)


def report_of(interviews: Iterable[Interview], *, now: float) -> Report:
    """Return the report on all results."""
    found = [(each.collector, each, each.evidence(now)) for each in interviews]
    results = [
        result
        for collector, interview, evidence in found
        for result in _results(collector.name, assumptions_of(collector), evidence, interview.further)
    ]
    whole = Evidence(
        answers=tuple(answer for _, _, evidence in found for answer in evidence.answers),
        now=now,
        headers=tuple(headers for _, _, evidence in found for headers in evidence.headers),
    )
    results += _results("", everywhere.ASSUMPTIONS, whole, {})
    asked = tuple(asked for collector, interview, _ in found for asked in _asked(collector, interview))
    return Report(asked=asked, results=tuple(results), now=now)


def _asked(collector: Collector, interview: Interview) -> Iterable[Asked]:
    for endpoint in collector.endpoints:
        answers = tuple(answer for answer in interview.answers if answer.endpoint == endpoint)
        replied = bool(answers) and all(answer.reply is not None for answer in answers)
        # For some collectors, an error is a valid answer: that there are no objects.
        answered = interview.ended or (replied and interview.failure is None)
        yield Asked(collector=collector.name, endpoint=endpoint, answers=answers, answered=answered)


def _results(
    collector: str,
    assumptions: Iterable[Assumption],
    evidence: Evidence,
    further: Mapping[str, Answer],
) -> Iterable[Result]:
    for each in assumptions:
        if each.check is not None:
            yield Result(
                collector=collector,
                assumption=each,
                finding=_finding(each.check, replace(evidence, answer=further.get(each.name))),
            )


def _finding(check: Check, evidence: Evidence) -> Finding:
    try:
        return check(evidence)
    except Exception:  # noqa: BLE001 - one check's bug must not cost the other results
        return untold("the check itself failed: a bug in the exporter")
