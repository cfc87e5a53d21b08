"""One collection: the exposition on standard output or in a file, everything else elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from exporter.collectors import account, instances
from exporter.collectors.base import Progress
from exporter.commands.once import CLEAR, ProgressLine, replace
from exporter.commands.once import write as put
from exporter.config.models import CollectorSettings
from exporter.polling.job import Job
from exporter.simulator import INSTANCES, USER, ManualClock, Reply, SimulatedVast
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.collectors.base import Collector
    from tests.support.program import Environment, Run, Start, Write


COMMAND = (sys.executable, "-m", "exporter")
PATIENCE = 60


def values(text: str) -> dict[str, float]:
    """Return the samples by name and labels' values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_the_exposition_alone_is_on_standard_output(
    run: Run, write: Write, settings: dict[str, object]
) -> None:
    done = run("once", "--config.file", str(write(settings)))
    assert done.returncode == 0
    found = values(done.stdout)
    assert found["vastai_collector_success research instances"] == 1
    assert found["vastai_collector_pages research instances"] == 3
    assert found["vastai_api_instances research"] == 60
    assert len(re.findall("^vastai_instance_info{", done.stdout, re.MULTILINE)) == 60
    assert not re.search("process_|python_info", done.stdout)
    assert [line.split()[2:4] for line in done.stderr.splitlines()] == [['msg="run', 'finished"']] * 2


def test_a_refused_key_is_in_the_exposition_and_in_the_exit_code(
    run: Run, write: Write, settings: dict[str, object]
) -> None:
    write("wrong", "key")
    done = run("once", "--config.file", str(write(settings)))
    assert done.returncode == 1
    found = values(done.stdout)
    assert found["vastai_collector_success research instances"] == 0
    assert found["vastai_collector_failures_total research instances auth"] == 1
    assert "vastai_api_instances research" not in found
    assert 'msg="run failed"' in done.stderr


def test_one_failing_collector_does_not_take_the_others_data_away(
    run: Run, write: Write, settings: dict[str, object], vast: SimulatedVast
) -> None:
    vast.faults.always(USER, Reply(400))
    done = run("once", "--config.file", str(write(settings)))
    found = values(done.stdout)
    assert done.returncode == 1
    assert found["vastai_collector_success research account"] == 0
    assert found["vastai_api_instances research"] == 60


def test_a_file_is_replaced_in_one_step_and_readable_for_others(
    run: Run, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    output = write("old", "vastai.prom")
    output.chmod(0o664)
    with output.open() as old:
        done = run("once", "--config.file", str(write(settings)), "--output", str(output))
        assert old.read() == "old"
    assert (done.returncode, done.stdout) == (0, "")
    assert values(output.read_text())["vastai_api_instances research"] == 60
    assert stat.S_IMODE(output.stat().st_mode) == 0o664
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "key", "vastai.prom"]


def test_a_file_that_cannot_be_written_is_one_line_and_the_old_one_stays(
    run: Run, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    quiet = str(write(settings | {"log": {"level": "error"}}))
    done = run("once", "--config.file", quiet, "--output", str(tmp_path / "no" / "vastai.prom"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/no/vastai.prom: can't be written: No such file or directory\n"
    # No name is left for the file beside it, which it has to be written to first.
    output = write("old", "x" * 255)
    done = run("once", "--config.file", quiet, "--output", str(output))
    assert (done.returncode, done.stderr) == (1, f"{output}: can't be written: File name too long\n")
    assert output.read_text() == "old"


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace(tmp_path / "folder", b"new", None)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_keeps_its_mode_and_its_owner_and_a_new_one_can_be_read_by_everybody(tmp_path: Path) -> None:
    old, new = tmp_path / "old.prom", tmp_path / "new.prom"
    old.write_bytes(b"old")
    old.chmod(0o4640)
    if os.geteuid() == 0:
        os.chown(old, 65534, 65533)
    before = old.stat()
    for path in (old, new):
        put(path, b"text\n")
        assert path.read_bytes() == b"text\n"
    after = old.stat()
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o644
    assert after.st_ino != before.st_ino


@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing yet"])
def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path: Path, there: bool) -> None:  # noqa: FBT001
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "vastai.prom"
    if there:
        target.write_bytes(b"old")
        target.chmod(0o640)
    link = tmp_path / "vastai.prom"
    link.symlink_to("elsewhere/vastai.prom")
    put(link, b"new")
    assert link.is_symlink()
    assert link.read_bytes() == target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == (0o640 if there else 0o644)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["vastai.prom"]


def test_a_link_that_leads_to_itself_is_an_error(tmp_path: Path) -> None:
    link = tmp_path / "vastai.prom"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        put(link, b"new")
    assert link.is_symlink()


def test_the_reader_of_a_pipe_gets_the_metrics_and_the_pipe_stays(
    run: Run, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    done = run("once", "--config.file", str(write(settings)), "--output", str(pipe))
    reader.join(PATIENCE)
    assert done.returncode == 0
    assert values(got[0])["vastai_api_instances research"] == 60
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_into_and_stays_what_it_is(tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    device = os.ttyname(terminal)
    link = tmp_path / "link"
    link.symlink_to(device)
    put(link, b"one line")
    assert os.read(screen, 1024) == b"one line"
    assert stat.S_ISCHR(Path(device).stat().st_mode)
    assert link.is_symlink()
    os.close(terminal)
    os.close(screen)


def test_a_full_device_is_one_line_and_exit_code_1(
    run: Run, write: Write, settings: dict[str, object]
) -> None:
    quiet = str(write(settings | {"log": {"level": "error"}}))
    done = run("once", "--config.file", quiet, "--output", "/dev/full")
    assert (done.returncode, done.stderr) == (1, "/dev/full: can't be written: No space left on device\n")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_file_that_is_open_under_dev_fd_and_deleted_is_written_into(tmp_path: Path) -> None:
    path = tmp_path / "deleted"
    with path.open("w+b") as file:
        path.unlink()
        put(tmp_path.joinpath(f"/dev/fd/{file.fileno()}"), b"text")
        assert file.read() == b"text"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_a_pipe_has_no_reader_ends_it(
    number: signal.Signals, start: Start, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = start("once", "--config.file", str(write(settings)), "--output", str(pipe))
    program.line("collector=instances outcome=success")
    program.line("collector=account outcome=success")
    assert program.end(number) == 1
    assert program.errors.splitlines()[-1] == "interrupted"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


class StopError(BaseException):
    pass


STEPS = ("open", "write", "fchown", "fchmod", "fsync", "close", "replace")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interruption_at_any_step_leaves_the_old_file_or_the_new_one_and_nothing_else(
    step: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vastai.prom"
    path.write_bytes(b"old")
    before = path.stat()
    done = getattr(os, step)

    def interrupted(*args: object, **options: object) -> object:
        result = done(*args, **options) if when == "after" else None
        monkeypatch.setattr(os, step, done)
        raise StopError
        return result

    monkeypatch.setattr(os, step, interrupted)
    if step == "fchown":  # only where the owner is another one
        before = os.stat_result((*before[:4], before.st_uid + 1, *before[5:]))
    with pytest.raises(StopError):
        replace(path, b"new", before)
    assert path.read_bytes() == (b"new" if (step, when) == ("replace", "after") else b"old")
    assert [each.name for each in tmp_path.iterdir()] == ["vastai.prom"]


def test_a_reader_that_goes_away_is_one_line(
    environment: Environment, write: Write, settings: object
) -> None:
    assert isinstance(settings, dict)
    path = write(settings | {"log": {"level": "error"}})
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "once", "--config.file", str(path)],
        env=environment,
        stdout=written,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.close(written)
    assert (done.returncode, done.stderr) == (1, "standard output: can't be written: Broken pipe\n")


def test_an_interruption_leaves_the_old_file(start: Start, write: Write, settings: dict[str, object]) -> None:
    asked = threading.Event()

    def noting(_: Mapping[str, str], due: Reply) -> Reply:
        asked.set()
        return due

    with SimulatedVast(size=200) as vast:
        vast.faults.always(INSTANCES, noting)
        write(vast.key, "key")
        path = write(settings | {"api": {"url": vast.url}})
        output = write("old", "vastai.prom")
        program = start("once", "--config.file", str(path), "--output", str(output))
        assert asked.wait(PATIENCE)
        assert program.end(signal.SIGINT) == 1
    assert program.errors.splitlines()[-1] == "interrupted"
    assert output.read_text() == "old"


# On a terminal


def test_a_terminal_is_told_how_far_it_is(
    environment: Environment, write: Write, settings: dict[str, object], vast: SimulatedVast
) -> None:
    path = write(settings | {"api": {"url": vast.url, "min_interval": "500ms"}})
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "once", "--config.file", str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    ) as process:
        os.close(terminal)
        output, _ = process.communicate(timeout=PATIENCE)
    shown = b""
    while piece := read(screen):
        shown += piece
    os.close(screen)
    assert process.returncode == 0
    assert values(output)["vastai_api_instances research"] == 60
    lines = shown.decode().split(CLEAR)
    told = [re.sub(r"\d+s left", "some time left", line) for line in lines]
    assert "research: page 1 of 3, 25 of 60 instances, some time left" in told
    assert "research: page 2 of 3, 50 of 60 instances, some time left" in told
    assert lines[-1] == ""
    assert all(line.startswith("ts=") for line in lines if "\n" in line)


def read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # how Linux says that the other side of a terminal is closed
        return b""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def job(collector: Collector = instances.COLLECTOR) -> Job:
    return Job(
        account="research",
        key=Key(value="a-key-of-nobody"),
        filters={},
        urls={},
        collector=collector,
        settings=CollectorSettings(),
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0.0)


def last(terminal: Terminal) -> str:
    return terminal.getvalue().rpartition(CLEAR)[2]


def test_the_time_left_is_that_of_the_pages_left(clock: ManualClock) -> None:
    terminal = Terminal()
    line = ProgressLine(terminal, clock=clock, min_interval=None)
    clock.advance(0.2)
    line(job(), Progress(pages=1, objects=25, total=1000, total_pages=40))
    assert last(terminal) == "research: page 1 of 40, 25 of 1000 instances, 43s left"
    clock.advance(19.8)  # 2 s a page, slower than the pace
    line(job(), Progress(pages=10, objects=250, total=1000, total_pages=40))
    assert last(terminal) == "research: page 10 of 40, 250 of 1000 instances, 1m left"
    line(job(), Progress(pages=40, objects=1000, total=1000, total_pages=40))
    assert last(terminal) == ""


def test_a_collector_of_one_page_or_of_unknown_length_shows_nothing(clock: ManualClock) -> None:
    terminal = Terminal()
    line = ProgressLine(terminal, clock=clock, min_interval=0.0)
    line(job(account.COLLECTOR), Progress(pages=1, objects=1, total=1, total_pages=1))
    line(job(), Progress(pages=1, objects=25, total=None))
    line(job(), Progress(pages=1, objects=0, total=0, total_pages=1))
    assert terminal.getvalue().replace(CLEAR, "") == ""


def test_log_lines_stand_above_the_progress(clock: ManualClock) -> None:
    terminal = Terminal()
    line = ProgressLine(terminal, clock=clock, min_interval=1.0)
    line(job(), Progress(pages=1, objects=25, total=50, total_pages=2))
    line.write("level=info msg=said\n")
    progress = "research: page 1 of 2, 25 of 50 instances, 1s left"
    assert terminal.getvalue() == f"{CLEAR}{progress}{CLEAR}level=info msg=said\n{progress}"
    line.clear()
    assert last(terminal) == ""


def test_what_is_no_terminal_gets_the_log_and_nothing_else(clock: ManualClock) -> None:
    stream = io.StringIO()
    line = ProgressLine(stream, clock=clock, min_interval=1.0)
    line(job(), Progress(pages=1, objects=25, total=50, total_pages=2))
    line.write("level=info msg=said\n")
    line.clear()
    line.flush()
    assert stream.getvalue() == "level=info msg=said\n"
