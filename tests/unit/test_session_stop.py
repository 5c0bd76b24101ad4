"""How somebody takes a session out of service, and back."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_rai import Source, SpoolError, StoppedError, load
from edge_rai.cli import main
from support.bundles import read_tree, write_tree
from support.children import run_python

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)

ANSWERS = """
import sys, numpy, edge_rai
with edge_rai.load(sys.argv[1], spool=sys.argv[2] if len(sys.argv) > 2 else None) as session:
    try:
        print(session.stopped, session.predict(numpy.ones((1, 3), numpy.float32)).verdict.name)
    except edge_rai.StoppedError as error:
        print(session.stopped, error)
"""
STOPPED = (
    r"True this session is stopped: resume it to have answers again \(20[-0-9T:]+Z the lot of Tuesday; in (.*)\)\n"
)


@pytest.fixture
def bundle(linear_bundle: Path, tmp_path: Path) -> Path:
    """One of this test's own: what stops it stands beside it."""
    (tmp_path / "own.erai").write_bytes(linear_bundle.read_bytes())
    return tmp_path / "own.erai"


@pytest.mark.parametrize("with_spool", [False, True], ids=["beside the bundle", "in the spool too"])
def test_stopped_bundle_refuses_in_later_processes_until_resumed(
    bundle: Path, tmp_path: Path, with_spool: bool
) -> None:
    spool = tmp_path / "spool" if with_spool else None
    where = [bundle] if spool is None else [bundle, spool]
    with load(bundle, spool=spool) as session:
        assert session.predict(ROWS).source is Source.PRIMARY
        assert not session.stopped
        session.stop("the lot of Tuesday")
        assert session.stopped
        for given in (ROWS, {"x": ROWS}, ROWS[:1]):
            with pytest.raises(StoppedError, match="resume it to have answers again"):
                session.predict(given)
        assert session.snapshot().errors == 3
    found = [path for path in tmp_path.rglob("*") if path.is_file() and b"the lot of Tuesday" in path.read_bytes()]
    found.sort(key=lambda path: path.parent)
    assert [path.parent for path in found] == ([tmp_path, spool] if spool else [tmp_path])
    for opened in (where, [bundle], [bundle, tmp_path / "another spool"]):
        child = run_python(ANSWERS, *opened)
        said = re.fullmatch(STOPPED, child.stdout)
        assert said, (child.stdout, child.stderr)
        assert Path(said[1]) == found[0]
    with load(bundle, spool=spool) as session:
        assert session.resume() == " and ".join(map(str, found))
        assert not session.stopped
        assert session.predict(ROWS).source is Source.PRIMARY
        assert session.resume() == ""  # twice is once
    assert run_python(ANSWERS, *where).stdout == "False ACCEPT\n"


def test_usual_calls_end_at_once_when_somebody_stops_the_session(bundle: Path) -> None:
    ended = threading.Event()

    def predict_for_ever() -> None:
        while True:
            session.predict(ROWS)

    def use() -> None:
        with pytest.raises(StoppedError):
            predict_for_ever()
        ended.set()

    with load(bundle) as session:
        thread = threading.Thread(target=use)
        thread.start()
        session.stop("now")
        assert ended.wait(10)
        thread.join()
        session.resume()
        assert session.predict(ROWS).outputs["y"].shape == (4, 2)


def test_stop_is_of_the_bundle_by_whatever_path_it_was_opened(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    tree.mkdir()
    elsewhere.mkdir()
    write_tree(tree, read_tree(bundle))
    current = elsewhere / "current.erai"
    current.symlink_to(bundle)
    monkeypatch.chdir(tmp_path)
    for stopped, ways in (
        (bundle, [str(bundle), str(current), "own.erai", "tree/../own.erai"]),
        (tree, [str(tree), "tree", "tree/", "tree/.", "elsewhere/../tree//"]),
    ):
        for way in ways:
            monkeypatch.chdir(tmp_path)
            with load(way) as session:
                monkeypatch.chdir(elsewhere)
                session.stop("the lot of Tuesday")
                assert [path.name for path in tmp_path.rglob("*.stopped")] == [f"{stopped.name}.stopped"]
                monkeypatch.chdir(tmp_path)
                for other in ways:
                    with load(other) as later:
                        assert later.stopped
                monkeypatch.chdir(elsewhere)
                assert session.resume() == f"{stopped}.stopped"
    current.unlink()
    current.symlink_to(tree)
    with load(bundle) as session:
        session.stop("the last version")
    with load(current) as session:
        assert not session.stopped


def test_spool_stays_where_it_was_opened(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with load(bundle.name, spool="spool") as session:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert (tmp_path / "spool" / session.flush()).is_file()
        session.stop("the lot of Tuesday")
        assert list((tmp_path / "spool").glob("stopped-*"))
        session.resume()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_stop_that_cannot_be_kept_stops_this_process_and_says_so(bundle: Path, tmp_path: Path) -> None:
    with load(bundle) as session:
        (tmp_path / "own.erai.stopped.writing").mkdir()
        (tmp_path / "own.erai.stopped.writing/file").touch()
        with pytest.raises(SpoolError, match="stopped in this process, but not beyond it"):
            session.stop("for nothing")
        assert session.stopped


def test_commands_stop_and_resume_a_bundle(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    run = ["run", str(bundle), "--data", str(tmp_path / "rows.npy")]
    (tmp_path / "spool").mkdir()
    for where in ([], ["--spool", str(tmp_path / "spool")]):
        assert main(["stop", str(bundle), *where, "--why", "a bad lot"]) == 0
        assert capsys.readouterr().out == f"{bundle} is stopped\n"
        assert main([*run, *where]) == 1
        said = re.fullmatch(r"edge-rai: this session is stopped: .* a bad lot; in (.*)\)\n", capsys.readouterr().err)
        assert said
        assert main(["resume", str(bundle), *where]) == 0
        assert capsys.readouterr().out.startswith(f"{bundle} answers: removed {said[1]}")
        assert main(["resume", str(bundle), *where]) == 0
        assert f"{bundle} answers: there was no stop beside it" in capsys.readouterr().out
        assert main([*run, *where]) == 0
        capsys.readouterr()
    for command in (["stop", "--why", "x"], ["resume"]):
        assert main([*command, str(bundle), "--spool", str(tmp_path / "spoool")]) == 4
        assert f"edge-rai: there is no spool {tmp_path / 'spoool'}" in capsys.readouterr().err
        assert not (tmp_path / "spoool").exists()
    assert main(["stop", str(tmp_path / "absent.erai"), "--why", "x"]) == 4
    assert main(["resume", str(tmp_path / "absent.erai")]) == 4
    (tmp_path / "file").touch()
    assert main(["stop", str(bundle), "--spool", str(tmp_path / "file"), "--why", "x"]) == 4
    with pytest.raises(SystemExit) as usage:
        main(["stop", str(bundle)])
    assert usage.value.code == 2


def test_reason_with_nul_is_refused(bundle: Path) -> None:
    with load(bundle) as session:
        with pytest.raises(ValueError, match="NUL"):
            session.stop("a\0b")
        assert not session.stopped
