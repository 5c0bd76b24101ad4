"""Ctrl-C is one line and 130, whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

from edge_rai import cli

COMMAND = Path(sysconfig.get_path("scripts"), "edge-rai")


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has mapped is read from /proc")
@pytest.mark.parametrize("mapped", ["_multiarray_umath", "_ffi.abi3"])
def test_interrupt_while_importing_is_one_line_and_130(mapped: str) -> None:
    with subprocess.Popen([COMMAND, "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        maps = Path(f"/proc/{running.pid}/maps")
        until = time.monotonic() + 30
        while mapped not in maps.read_text() and running.poll() is None and time.monotonic() < until:
            pass
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (130, "", "edge-rai: interrupted\n")


def test_interrupt_of_a_running_command_is_one_line_and_130(
    linear_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", np.ones((2, 3), np.float32))

    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_rai.load", interrupted)
    assert cli.main(["run", str(linear_bundle), "--data", str(tmp_path / "rows.npy")]) == 130
    assert capsys.readouterr().err == "edge-rai: interrupted\n"


def test_interrupts_that_were_to_be_ignored_are_ignored() -> None:
    """A shell starts what is in the background so."""
    start = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", start, COMMAND, "--version"], stdout=subprocess.PIPE, text=True
    ) as running:
        maps = Path(f"/proc/{running.pid}/maps")
        while "_ffi.abi3" not in maps.read_text() and running.poll() is None:
            pass
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 0
    assert out.startswith("edge-rai ")
