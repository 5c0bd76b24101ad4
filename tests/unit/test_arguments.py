"""Arguments of a wrong type or out of range: one sentence that names them, and nothing of what lies beneath."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rai import Batcher, ManualClock, Session, Verdict, load

ROW = np.ones((1, 3), np.float32)


@pytest.fixture
def session(linear_bundle: Path) -> Session:
    return load(linear_bundle, threads=1)


@pytest.mark.parametrize(
    ("name", "wrong", "sentence"),
    [
        ("clock", time.time, r"clock is <built-in function time> .*; expected an edge_rai.ManualClock, or None"),
        ("clock", ManualClock, r"clock is <class .*; expected an edge_rai.ManualClock, or None"),
        ("clock", 3, r"clock is 3 \(int\); expected an edge_rai.ManualClock"),
        ("threads", "2", r"threads is '2' \(str\); expected an integer: 0 \(the runtime's choice\) to 2147483647"),
        ("threads", 2.0, r"threads is 2.0 \(float\); expected an integer"),
        ("threads", None, r"threads is None \(NoneType\); expected an integer"),
        ("cache_bytes", "1 MB", r"cache_bytes is '1 MB' \(str\); expected an integer: 0 \(no cache\) to \d+$"),
        ("cache_bytes", 1e6, r"cache_bytes is 1000000.0 \(float\); expected an integer"),
        ("spool", 3, r"spool is 3 \(int\); expected a str or os.PathLike"),
        ("provider", 3, r"provider is 3 \(int\); expected a str"),
        ("provider", b"CPUExecutionProvider", r"provider is b'CPU.* \(bytes\); expected a str"),
        ("provider_path", ["a"], r"provider_path is \['a'\] \(list\); expected a str or os.PathLike"),
    ],
)
def test_load_names_an_argument_of_another_type(linear_bundle: Path, name: str, wrong: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}"):
        load(linear_bundle, **{name: wrong})


@pytest.mark.parametrize("wrong", [None, 3, ["model.erai"], open])
def test_load_of_no_path_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="^path is .*; expected a str or os.PathLike"):
        load(wrong)


@pytest.mark.parametrize(("name", "wrong"), [("threads", -1), ("threads", 2**31), ("cache_bytes", -1)])
def test_load_says_what_a_number_may_be(linear_bundle: Path, name: str, wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is {wrong}; expected 0 \(.*\) to \d+$"):
        load(linear_bundle, **{name: wrong})  # type: ignore[arg-type]


def test_what_stands_for_an_integer_or_a_path_is_one(linear_bundle: Path, tmp_path: Path) -> None:
    path, spool = bytes(linear_bundle), bytes(tmp_path / "spool")
    with load(path, threads=np.int64(1), cache_bytes=np.uint8(0), spool=spool) as session:  # type: ignore[arg-type]
        assert session.predict(ROW).verdict is Verdict.ACCEPT
        assert session.flush().endswith(".batch")


@pytest.mark.parametrize(
    ("error", "key", "sentence"),
    [
        (TypeError, 1.5, "key: expected str, bytes, int or a sequence of those, got float"),
        (TypeError, {"a": 1}, "key: expected str, bytes, int or a sequence of those, got dict"),
        (TypeError, True, "key: expected str, bytes or int, got bool"),
        (TypeError, [1.5], "key: expected str, bytes or int, got float"),
        (ValueError, "x" * 65, "key: 'x+ has 65 bytes; at most 64"),
        (ValueError, ["a", "b"], "key: 2 keys for 1 rows"),
        (ValueError, [], "key: 0 keys for 1 rows"),
        (ValueError, "\ud800", r"key: '\\ud800' is no text in UTF-8"),
    ],
)
def test_predict_says_what_is_wrong_with_a_key(
    session: Session, error: type[Exception], key: Any, sentence: str
) -> None:
    with pytest.raises(error, match=f"^{sentence}"):
        session.predict(ROW, key=key)


@pytest.mark.parametrize("wrong", [None, 1.5, "x", [[1.0, 2.0, 3.0]], (ROW,), object(), {1, 2}])
def test_predict_says_what_it_expected(session: Session, wrong: Any) -> None:
    with pytest.raises(TypeError, match="^expected a numpy array of float32 or a mapping"):
        session.predict(wrong)
    with pytest.raises(TypeError, match="^input 'x': expected a numpy array of float32"):
        session.predict({"x": wrong})


@pytest.mark.parametrize(
    ("error", "use", "sentence"),
    [
        (TypeError, lambda it: it.stop(3), r"reason is 3 \(int\); expected a str"),
        (TypeError, lambda it: it.stop(b"x"), r"reason is b'x' \(bytes\); expected a str"),
        (ValueError, lambda it: it.stop("a\0b"), r"reason cannot hold NUL: 'a\\x00b'"),
        (ValueError, lambda it: it.stop("\udcff"), r"reason is no text in UTF-8: '\\udcff'"),
        (TypeError, lambda it: it.override("1", None), r"review_id is '1' \(str\); expected an integer, ReviewItem.id"),
        (TypeError, lambda it: it.override(1.0, None), r"review_id is 1.0 \(float\); expected an integer"),
        (TypeError, lambda it: it.override(None, None), r"review_id is None \(NoneType\); expected an integer"),
        (TypeError, lambda it: it.override(1, [[1, 2]]), "expected a numpy array of float32 or a mapping"),
        (
            TypeError,
            lambda it: it.override(1, {"y": [1, 2]}),
            "output 'y': expected a numpy array of float32",
        ),
    ],
)
def test_session_says_what_is_wrong_with_an_argument(
    session: Session, error: type[Exception], use: Callable[[Any], object], sentence: str
) -> None:
    with pytest.raises(error, match=f"^{sentence}"):
        use(session)
    assert not session.stopped


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda: ManualClock(monotonic_ns="3"), r"monotonic_ns is '3' \(str\); expected an integer: 0 to \d+$"),  # type: ignore[arg-type]
        (lambda: ManualClock(unix_ns=1.5), r"unix_ns is 1.5 \(float\); expected an integer: -\d+ to \d+$"),  # type: ignore[arg-type]
        (lambda: ManualClock().advance("3"), r"seconds is '3' \(str\); expected a finite number"),  # type: ignore[arg-type]
    ],
)
def test_manual_clock_says_what_it_expected(use: Callable[[], object], sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}"):
        use()


def test_manual_clock_advances_by_any_number() -> None:
    clock = ManualClock()
    for second in (1, 0.5, np.float32(0.5), Decimal(1)):
        clock.advance(second)  # type: ignore[arg-type]
    assert (clock.monotonic_ns, clock.unix_ns) == (3 * 10**9,) * 2
    with pytest.raises(ValueError, match="^seconds is 1000.*; expected a finite number"):
        clock.advance(10**400)


def test_batcher_says_what_it_expected(session: Session) -> None:
    for wrong, sentence in (
        ({"max_batch": "3"}, r"max_batch is '3' \(str\); expected an integer: 1 or more rows"),
        ({"max_wait_s": "1"}, r"max_wait_s is '1' \(str\); expected 0 or more seconds"),
        ({"max_wait_s": None}, r"max_wait_s is None \(NoneType\); expected 0 or more seconds"),
    ):
        with pytest.raises(TypeError, match=f"^{sentence}"):
            Batcher(session, **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^session is PosixPath\(.*; expected what edge_rai.load gives"):
        Batcher(Path("model.erai"))  # type: ignore[arg-type]
