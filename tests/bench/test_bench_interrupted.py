"""A run on a terminal: how far it is, and what Ctrl-C or a kill leaves."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from edge_rai.bench.saving import load
from edge_rai.cli.bench_progress import Progress
from edge_rai.cli.bench_stop import Stop
from edge_rai.policy import Policy, Reference
from support.bundles import write_bundle

ROWS = np.linspace(-2, 2, 24, dtype=np.float32).reshape(8, 3)
MAIN = "import sys; sys.path = [p for p in sys.path if p]; from edge_rai.cli import main; sys.exit(main(sys.argv[1:]))"
PATIENCE_S = 240.0


@pytest.fixture
def bundle(tmp_path: Path, linear_model: Path, linear_policy: Policy, linear_reference: Reference) -> Path:
    return write_bundle(tmp_path / "linear.erai", linear_model, linear_policy, {"x": ROWS}, linear_reference)


class Terminal:
    """A child whose terminal we are."""

    def __init__(self, master: int, child: subprocess.Popen[bytes]) -> None:
        self.master, self.child, self.shown = master, child, ""
        self.until = time.monotonic() + PATIENCE_S

    def read(self) -> bool:
        """Whatever comes within a moment; False: the child has closed it."""
        assert time.monotonic() < self.until, self.shown
        if not select.select([self.master], [], [], 0.1)[0]:
            return True
        try:
            received = os.read(self.master, 1 << 16)
        except OSError:  # what Linux gives at the end of a terminal
            return False
        self.shown += received.decode()
        return bool(received)

    def read_until(self, pattern: str) -> None:
        while not re.search(pattern, self.shown):
            assert self.read(), self.shown


@contextmanager
def on_a_terminal(*arguments: object, cwd: Path) -> Iterator[Terminal]:
    """The bench, in a session of its own, which is gone afterwards."""
    master, slave = pty.openpty()
    command = [sys.executable, "-c", "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); " + MAIN, "bench"]
    environment = {**os.environ, "TERM": "xterm"}
    child = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(master, child)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(master)


def children_of(pid: int) -> list[int]:
    """The processes that a process's main thread made."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:  # it has ended
        return []


def command_of(pid: int) -> bytes:
    """Empty where there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.parametrize(("processes", "duration"), [(1, 60), (400, 400)])
def test_ctrl_c_reports_and_keeps_what_there_was(bundle: Path, tmp_path: Path, processes: int, duration: int) -> None:
    options = [
        "--duration",
        duration,
        "--processes",
        processes,
        "--cold-start",
        0,
        "--against",
        "none",
        "--save",
        "a.json",
    ]
    options += ["--html", "a.html"]
    with on_a_terminal(bundle, *options, cwd=tmp_path) as terminal:
        terminal.read_until(
            r"\r\x1b\[Kedge-rai: measuring, \d+% done, about \d+ (s|min) left" if processes == 1 else "measuring …"
        )
        until = time.monotonic() + PATIENCE_S
        while not (load(tmp_path / "a.json").scenarios if (tmp_path / "a.json").exists() else []):
            assert time.monotonic() < until
            terminal.read()
        os.write(terminal.master, b"\x03")
        while terminal.read():
            pass
        assert terminal.child.wait(PATIENCE_S) == 130
    assert f"single_stream, {duration} s for all subjects" in terminal.shown
    assert terminal.shown.count("interrupted") == 1
    assert terminal.shown.rstrip().endswith("interrupted; what there was until then is above, and in a.json and a.html")
    assert "Traceback" not in terminal.shown
    saved = load(tmp_path / "a.json")
    assert not saved.complete
    assert saved.scenarios[0].series[0].queries > 10
    assert "This run was cut short: these are the numbers until then." in (tmp_path / "a.html").read_text()


@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="no Linux that lists children")
def test_a_kill_takes_the_processes_that_measure_along(bundle: Path, tmp_path: Path) -> None:
    options = ["--duration", "40", "--processes", "2", "--cold-start", "0", "--against", "none"]
    command = [sys.executable, "-c", MAIN, "bench", str(bundle), *options]
    child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    until, measuring = time.monotonic() + PATIENCE_S, list[int]()
    try:
        while not (measuring := [pid for pid in children_of(child.pid) if b"spawn_main" in command_of(pid)]):
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        child.kill()
        child.wait()
        while any(b"spawn_main" in command_of(pid) for pid in measuring):
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
        for pid in measuring:
            if b"spawn_main" in command_of(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_request_to_terminate_reports_and_keeps_what_there_was(bundle: Path, tmp_path: Path) -> None:
    options = ["--duration", "60", "--processes", "1", "--cold-start", "0", "--against", "none", "--save", "a.json"]
    command = [sys.executable, "-c", MAIN, "bench", str(bundle), *options]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        until = time.monotonic() + PATIENCE_S
        while not (load(tmp_path / "a.json").scenarios if (tmp_path / "a.json").exists() else []):
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        child.terminate()
        report, complaints = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 143
    assert "single_stream, 60 s for all subjects" in report
    assert complaints == "edge-rai: interrupted; what there was until then is above, and in a.json\n"


def test_a_stop_that_an_extension_module_swallows_is_heard_later() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Stop() as stop:
        stop.check()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    assert stop.code == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_a_disk_that_fills_up_costs_the_saved_result_and_not_the_report(bundle: Path, tmp_path: Path) -> None:
    """A limit on a file's size stands for it, which what Python starts is told of instead of being killed."""
    options = ["--duration", "1", "--processes", "1", "--cold-start", "0", "--against", "none", "--save", "a.json"]
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); " + MAIN
    done = subprocess.run(
        [sys.executable, "-c", limited, "bench", str(bundle), *options],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "single_stream, 1 s for all subjects" in done.stdout
    assert done.stderr == "edge-rai: a.npz: File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "linear.erai"]
    assert not load(tmp_path / "a.json").complete


def test_ctrl_c_before_anything_was_measured_says_so(bundle: Path, tmp_path: Path) -> None:
    options = ["--duration", 86_400, "--processes", 2, "--cold-start", 0, "--html", "a.html"]
    with on_a_terminal(bundle, *options, cwd=tmp_path) as terminal:
        terminal.read_until("measuring …")
        os.write(terminal.master, b"\x03")
        while terminal.read():
            pass
        assert terminal.child.wait(PATIENCE_S) == 130
    assert terminal.shown.rstrip().endswith("edge-rai: interrupted; nothing was measured yet")
    assert "Traceback" not in terminal.shown
    assert not (tmp_path / "a.html").exists()


def test_a_killed_server_run_leaves_the_rates_so_far_with_their_series(bundle: Path, tmp_path: Path) -> None:
    saved = tmp_path / "a.json"
    options = [
        "--scenario",
        "server",
        "--duration",
        20,
        "--cold-start",
        0,
        "--against",
        "none",
        "--bound-ms",
        500,
        "--save",
        "a.json",
    ]
    with on_a_terminal(bundle, *options, "--percentile", "50", cwd=tmp_path) as terminal:
        while not (saved.exists() and load(saved).scenarios and load(saved).scenarios[0].series):
            assert terminal.read(), terminal.shown
        os.killpg(terminal.child.pid, signal.SIGKILL)
    found = load(saved)
    assert not found.complete
    rate = next(rate for rate in found.scenarios[0].server if rate.rate_per_s)
    assert any(trial.kept and trial.rate_per_s == rate.rate_per_s for trial in rate.trials)
    series = next(series for series in found.scenarios[0].series if series.subject == rate.subject)
    assert series.queries == next(trial.queries for trial in rate.trials if trial.rate_per_s == rate.rate_per_s)
    with np.load(saved.with_suffix(".npz")) as samples:
        assert len(samples["server.0.began_ns"]) > 0


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_says_the_stage_and_what_is_left_and_clears_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()
    with Progress(stream) as progress:
        progress("measuring", 0.0)
        time.sleep(0.05)
        progress("measuring", 0.5)
    first, second, end = stream.getvalue().split("\r\x1b[K")[1:]
    assert first == "edge-rai: measuring …"
    assert re.fullmatch(r"edge-rai: measuring, 50% done, about \d+ s left …", second)
    assert end == ""


def test_nothing_is_said_where_there_is_no_terminal() -> None:
    stream = StringIO()
    with Progress(stream) as progress:
        progress("measuring", 0.5)
    assert stream.getvalue() == ""
    with Progress(None) as progress:
        progress("measuring", 0.5)
