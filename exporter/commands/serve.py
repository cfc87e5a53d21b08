"""Run the exporter as a service: polling, web server, signals, reloads and systemd."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

from exporter import __version__, logs
from exporter.commands import process, streams
from exporter.commands.config_watch import PERIOD, ConfigWatch
from exporter.commands.reload import ReloadReport
from exporter.commands.signals import RELOAD_SIGNAL
from exporter.commands.systemd import Notifier
from exporter.config.mistakes import ConfigError
from exporter.config.models import split_address
from exporter.polling.poller import Poller
from exporter.web.access import LiveAccess
from exporter.web.app import create_app
from exporter.web.cuts import Cuts
from exporter.web.handshakes import Handshakes
from exporter.web.server import BackgroundServer, listen
from exporter.web.users import PasswordChecks

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from exporter.commands.signals import Signals
    from exporter.config.loading import Loaded
    from exporter.discovery.targets import Targets
    from exporter.exposition.body import Exposition
    from exporter.polling.loop import Loop

CANNOT_SERVE = 1

_log = logging.getLogger(__name__)


class Service:
    """A poller whose configuration can be reloaded; the web server's view of both.

    Args:
        loaded: the initial configuration.
        read: reads the configuration again from the same sources.
        redact: learns each key before its use.
        revision: source revision, for the build info.
        intervals: seconds between runs by collector, instead of the configured ones.

    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        read: Callable[[], Loaded],
        redact: logs.Redactor,
        revision: str,
        intervals: Mapping[str, float],
    ) -> None:
        self._read = read
        self._redact = redact
        self._lock = threading.Lock()
        self.poller = Poller(loaded, redact=redact, revision=revision, intervals=intervals)
        self.poller.self_metrics.lines_dropped = streams.dropped

    @property
    def exposition(self) -> Exposition:
        """Renders /metrics."""
        return self.poller.exposition

    @property
    def targets(self) -> Targets | None:
        """The discovery targets, or None if discovery is off."""
        return self.poller.targets

    @property
    def loops(self) -> Sequence[Loop]:
        """The current loops."""
        return self.poller.loops

    def reload(self) -> tuple[str, ...]:
        """Apply the current configuration; return the mistakes in it, in which case nothing changes."""
        with self._lock:
            try:
                loaded = self._read()
                self.poller.apply(loaded)
            except ConfigError as error:
                self.poller.self_metrics.reload_failed()
                for line in error.lines:
                    _log.error("new configuration rejected", extra={"fields": {"error": line}})
                return error.lines
            set_up_logs(loaded, self._redact, sys.stderr)
        _log.info("configuration reloaded", extra={"fields": {"accounts": len(loaded.accounts)}})
        return ()


def set_up_logs(loaded: Loaded, redact: logs.Redactor, stream: logs.Sink) -> None:
    """Configure logging, and log the notes on the configuration."""
    logs.set_up(loaded.config.log.level, loaded.config.log.format, redact, stream)
    for note in loaded.notes:
        _log.warning(note)
    for line in loaded.without_key:
        _log.error("an account has no key and is not polled", extra={"fields": {"error": line}})


def serve(
    loaded: Loaded,
    read: Callable[[], Loaded],
    *,
    config_file: Path | None,
    signals: Signals,
    environ: Mapping[str, str],
    intervals: Mapping[str, float],
) -> int:
    """Serve until a signal stops it, and return the exit code.

    Args:
        loaded: the initial configuration.
        read: reads the configuration again from the same sources.
        config_file: file to watch and to reload when it changes, or None.
        signals: signals that stop the service or reload the configuration.
        environ: the environment.
        intervals: seconds between runs by collector, instead of the configured ones.

    Raises:
        ConfigError: the web configuration became invalid after `loaded` was read.

    """
    redact = logs.Redactor()
    set_up_logs(loaded, redact, sys.stderr)
    logs.log_uncaught()
    process.set_up()
    web = loaded.config.web
    try:
        sock = listen(*split_address(web.listen_address))
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # Python appends the address
        sys.stderr.write(f"can't listen on {web.listen_address}: {reason}\n")
        return CANNOT_SERVE
    revision = environ.get("VASTAI_EXPORTER_REVISION", "")  # set by the image's build
    watch = ConfigWatch(config_file)
    read = _noting(watch, read)
    service = Service(loaded, read=read, redact=redact, revision=revision, intervals=intervals)
    numbers = service.poller.self_metrics
    handshakes = Handshakes(numbers.tls_handshake_failed)
    access = LiveAccess(web.config_file, on_read=numbers.web_config_read, handshakes=handshakes)
    passwords = PasswordChecks()
    app = create_app(
        service,
        telemetry_path=web.telemetry_path,
        wall_clock=time.time,
        dashboards_url=web.dashboards_url,
        access=access,
        passwords=passwords,
    )
    cuts = Cuts(numbers.connection_cut)
    server = BackgroundServer(app, sock, stopped=signals.end, tls=access.tls, cuts=cuts)
    signals.begin()
    server.start()
    service.poller.start()
    url = f"{server.url}{web.telemetry_path}"
    fields = {"url": url, "version": __version__, "accounts": len(loaded.accounts)}
    _log.info("serving", extra={"fields": fields | {"api": loaded.config.api.url}})
    notifier = Notifier(environ)
    notifier.keep_alive(lambda: not any(loop.trouble() for loop in service.loops))
    notifier.ready(f"serving on {url}")
    report = ReloadReport(environ)
    event = _until_stopped(signals, Reloads(service, watch, notifier, report, url))
    signals.ignore()
    notifier.stopping()
    service.poller.stop()
    server.stop()
    passwords.close()
    if event is None:
        _log.error("the web server stopped unexpectedly")
        return CANNOT_SERVE
    _log.info("stopped", extra={"fields": {"signal": event.name}})
    return 0


def _noting(watch: ConfigWatch, read: Callable[[], Loaded]) -> Callable[[], Loaded]:
    def noted() -> Loaded:
        watch.note()
        return read()

    return noted


class Reloads:
    """Reloads the configuration on request, and when its file has changed.

    It runs in its own thread: reading a file may hang, and a stop signal must still work.
    """

    def __init__(
        self, service: Service, watch: ConfigWatch, notifier: Notifier, report: ReloadReport, url: str
    ) -> None:
        self._service = service
        self._watch = watch
        self._notifier = notifier
        self._report = report
        self._url = url
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="reload", daemon=True).start()

    def request(self) -> None:
        """Request a reload; if one is in progress, another follows."""
        self._wanted.set()

    def _run(self) -> None:
        while True:
            if self._wanted.wait(PERIOD) or self._watch.changed():
                self._wanted.clear()
                self._notifier.reloading()
                self._report.write(self._service.reload())
                self._notifier.ready(f"serving on {self._url}")


def _until_stopped(signals: Signals, reloads: Reloads) -> signal.Signals | None:
    while (event := signals.wait()) == RELOAD_SIGNAL:
        reloads.request()
    return event
