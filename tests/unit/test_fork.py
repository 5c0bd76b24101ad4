"""Sessions and batchers in a forked child of the process that opened them."""

from __future__ import annotations

from pathlib import Path

from support.children import run_python

SPOOL = """
import os, sys
from pathlib import Path
import numpy as np
import edge_rai
from edge_rai._native import read_snapshot

bundle, spool = map(Path, sys.argv[1:])
session = edge_rai.load(bundle, spool=spool, threads=1)
x = np.ones((1, *[axis or 1 for axis in session.inputs[0].shape[1:]]), np.float32)
delivered = 0


def ask(times):
    for _ in range(times):
        session.predict(x)


def deliver():
    global delivered
    for file in sorted(spool.glob("*.batch")):
        delivered += read_snapshot(file.read_bytes()).calls
        file.unlink()


ask(10)
session.flush()
deliver()
ask(5)
child = os.fork()
if child == 0:
    assert session.snapshot().calls == 0
    ask(100)
    session.flush()
    ask(7)
    session.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask(1000)
session.flush()
queued = sum(read_snapshot(file.read_bytes()).calls for file in spool.glob("*.batch"))
names = {file.name for file in spool.glob("*.batch")}
print(delivered, queued, len(names), len({name[:16] for name in names}))
"""

BATCHER = """
import os, signal, sys
import numpy as np
import edge_rai

session = edge_rai.load(sys.argv[1], threads=1)
x = np.ones((1, *[axis or 1 for axis in session.inputs[0].shape[1:]]), np.float32)
expected = session.predict(x).outputs
with edge_rai.Batcher(session) as batcher, edge_rai.Batcher(session) as closed:
    batcher.predict(x)
    closed.close()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        answer = batcher.predict(x)
        assert all((answer.outputs[name] == expected[name]).all() for name in expected)
        try:
            closed.predict(x)
        except ValueError as error:
            assert "closed" in str(error)
            batcher.close()
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    print(batcher.predict(x).verdict.name)
"""


def test_every_call_on_either_side_of_a_fork_is_delivered_or_queued_once(linear_bundle: Path, tmp_path: Path) -> None:
    child = run_python(SPOOL, linear_bundle, tmp_path / "spool")
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == ["10", str(5 + 100 + 7 + 1000), "3", "2"]


def test_batcher_answers_in_a_forked_child_too(linear_bundle: Path) -> None:
    child = run_python(BATCHER, linear_bundle)
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == ["ACCEPT"]
