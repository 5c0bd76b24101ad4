from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from edge_rai.cli import main
from edge_rai.counts import FeatureCounts
from edge_rai.errors import PolicyError, StoreError
from edge_rai.fleet.alerts import look, raised_now
from edge_rai.fleet.notify import Message, sinks_of, tell
from edge_rai.fleet.rules import Rules, read_rules
from support.fleets import HOUR_NS, OTHER, open_store, store_all, with_radius
from support.telemetry import INSTANCE, counts, snapshot

NOW = 480_000 * HOUR_NS
RATE = {
    "name": "rejected",
    "kind": "rate",
    "of": "verdict",
    "names": ["reject"],
    "raise_above": 0.5,
    "clear_below": 0.2,
    "hours": 1,
    "least_rows": 10,
}


def rules(*given: dict[str, object], **more: object) -> Rules:
    return Rules.model_validate_json(json.dumps({"rule": given, **more}))


def judged(accepted: int, rejected: int, sequence: int, **changes: object) -> object:
    return snapshot(sequence, rows_by_verdict=counts([accepted, 0, rejected]), **changes)


def looked(store: Path, given: Rules, now: int) -> list[str]:
    """The lines that a look prints."""
    said: list[str] = []
    sinks = sinks_of(given, said.append)
    with open_store(store) as (ledger, engine):
        look(ledger, engine, given, list(sinks), now)
        assert tell(ledger, sinks, given.most_an_hour, now) == []
    return said


def test_rate_is_raised_above_one_bound_and_cleared_below_another(tmp_path: Path) -> None:
    said = []
    for hour, rejected in enumerate((10, 60, 30, 60, 10)):
        store_all(tmp_path, judged(100 - rejected, rejected, hour), at=NOW + hour * HOUR_NS)
        said.append(looked(tmp_path, rules(RATE), NOW + hour * HOUR_NS + HOUR_NS // 2))
    assert said == [
        [],
        ["rejected: raised: the fleet (0.6)"],
        [],  # between the bounds nothing changes
        [],
        ["rejected: cleared: the fleet (0.1)"],
    ]


def test_alert_waits_for_as_many_looks_as_the_rule_says(tmp_path: Path) -> None:
    store_all(tmp_path, judged(10, 90, 0), at=NOW)
    said = [looked(tmp_path, rules({**RATE, "looks": 3}), NOW + minute * 60 * 10**9) for minute in range(5)]
    assert [len(lines) for lines in said] == [0, 0, 1, 0, 0]


def test_rate_of_few_rows_says_nothing(tmp_path: Path) -> None:
    store_all(tmp_path, judged(0, 9, 0), at=NOW)
    assert looked(tmp_path, rules(RATE), NOW) == []


def test_rate_is_measured_group_by_group(tmp_path: Path) -> None:
    store_all(tmp_path, judged(10, 90, 0), at=NOW, site="Oslo")
    store_all(tmp_path, judged(90, 10, 0, instance=OTHER), at=NOW, site="Rome")
    assert looked(tmp_path, rules({**RATE, "by": ["site"]}), NOW) == ["rejected: raised: Oslo (0.9)"]


def test_name_or_dimension_given_twice_counts_once(tmp_path: Path) -> None:
    store_all(tmp_path, judged(60, 40, 0), at=NOW, site="east")
    assert looked(tmp_path, rules({**RATE, "names": ["reject", "reject"], "by": ["site", "site"]}), NOW) == []


def test_subjects_of_other_words_have_other_names(tmp_path: Path) -> None:
    for sequence, (site, firmware) in enumerate((("a, b", "c"), ("a", "b, c"), ("", "c"), ("", ""))):
        store_all(tmp_path, judged(0, 100, sequence), at=NOW, site=site, firmware=firmware)
    (said,) = looked(tmp_path, rules({**RATE, "by": ["site", "firmware"]}), NOW)
    assert said == 'rejected: raised: "", "" (1), "", c (1), "a, b", c (1), a, "b, c" (1)'


def test_silence_is_one_message_for_all_devices_of_a_group(tmp_path: Path) -> None:
    for index in range(30):
        site = "Oslo" if index < 20 else "Rome"
        store_all(tmp_path, snapshot(instance=f"{index:032x}"), at=NOW, site=site)
    store_all(tmp_path, snapshot(instance=OTHER), at=NOW + 5 * HOUR_NS, site="Rome")
    silence = {"name": "quiet", "kind": "silence", "hours": 4, "group": "site"}
    oslo, rome = looked(tmp_path, rules(silence), NOW + 6 * HOUR_NS)
    assert oslo.startswith("quiet [Oslo]: raised: 00000000000000000000000000000000 (6), ")
    assert oslo.endswith(" and 15 more")
    assert rome.startswith("quiet [Rome]: raised: ")
    store_all(tmp_path, snapshot(1, instance=f"{25:032x}"), at=NOW + 7 * HOUR_NS, site="Rome")
    assert looked(tmp_path, rules(silence), NOW + 7 * HOUR_NS) == [f"quiet [Rome]: cleared: {25:032x} (0)"]


def test_gap_is_raised_and_cleared_when_the_batch_comes_late(tmp_path: Path) -> None:
    gap = rules({"name": "lost", "kind": "gap", "more_than": 1})
    store_all(tmp_path, snapshot(0), snapshot(3), at=NOW)
    assert looked(tmp_path, gap, NOW) == [f"lost: raised: {INSTANCE} (2)"]
    store_all(tmp_path, snapshot(1), at=NOW)
    assert looked(tmp_path, gap, NOW) == [f"lost: cleared: {INSTANCE} (1)"]


def test_drift_counts_only_what_chance_does_not_explain(tmp_path: Path) -> None:
    drift = rules({"name": "moved", "kind": "drift", "raise_above": 0.1, "clear_below": 0.05})
    store_all(tmp_path, with_radius([0, 0, 0, 3]), at=NOW)  # three values: far off, and no evidence
    assert looked(tmp_path, drift, NOW) == []
    store_all(tmp_path, with_radius([0, 0, 0, 5000], 1), at=NOW)
    (line,) = looked(tmp_path, drift, NOW)
    assert line.startswith("moved: raised: radius, guard cdcdcdcdcdcd (")


def test_devices_are_judged_once_a_period_by_what_was_received_before_it(tmp_path: Path) -> None:
    devices = rules({"name": "drifting", "kind": "drifted_devices", "every_hours": 24})
    store_all(tmp_path, snapshot(0), at=NOW - 1, drift_evidence=10.0, drift_rows=100)
    assert looked(tmp_path, devices, NOW) == []
    store_all(tmp_path, snapshot(1), at=NOW, drift_evidence=1e6, drift_rows=100)
    assert looked(tmp_path, devices, NOW + 23 * HOUR_NS) == []
    assert looked(tmp_path, devices, NOW + 24 * HOUR_NS) == [f"drifting: raised: {INSTANCE} (1e+04)"]


def test_look_that_fails_is_not_the_one_of_its_period(tmp_path: Path) -> None:
    devices = rules({"name": "drifting", "kind": "drifted_devices", "every_hours": 24})
    store_all(tmp_path, snapshot(0), at=NOW - 1, drift_evidence=1e6, drift_rows=100)
    with open_store(tmp_path) as (store, engine):
        engine.connection.execute("DROP VIEW drifts")  # as if a file of it could not be read
        with pytest.raises(StoreError):
            look(store, engine, devices, ["stdout"], NOW)
    assert looked(tmp_path, devices, NOW) == [f"drifting: raised: {INSTANCE} (1e+04)"]


def standing(store: Path) -> list[tuple[str, str]]:
    with open_store(store) as (ledger, _), ledger.transaction() as connection:
        return raised_now(connection)


def test_alert_of_what_is_measured_no_more_is_cleared_after_as_many_looks(tmp_path: Path) -> None:
    given = rules(
        {**RATE, "by": ["model_digest"], "looks": 2},
        {"name": "moved", "kind": "drift", "raise_above": 0.1, "clear_below": 0.05, "hours": 1, "looks": 2},
    )
    store_all(tmp_path, with_radius([0, 0, 0, 5000], rows_by_verdict=counts([10, 0, 90])), at=NOW)
    assert [len(looked(tmp_path, given, NOW + minute)) for minute in range(3)] == [0, 2, 0]
    later = NOW + 2 * HOUR_NS
    few = judged(0, 9, 1, features=tuple(FeatureCounts(0 * one.histogram, 0, 0, 0) for one in snapshot().features))
    store_all(tmp_path, few, at=later)  # too little to say anything
    said = [looked(tmp_path, given, later + minute) for minute in range(3)]
    assert said == [
        [],
        [f"rejected: cleared: {'ab' * 6} (0)", "moved: cleared: radius, guard cdcdcdcdcdcd (0)"],
        [],
    ]
    assert standing(tmp_path) == []


def test_alert_of_a_rule_that_is_no_more_in_the_file_is_forgotten(tmp_path: Path) -> None:
    store_all(tmp_path, judged(10, 90, 0), at=NOW)
    assert len(looked(tmp_path, rules(RATE), NOW)) == 1
    assert standing(tmp_path) == [("rejected", "the fleet")]
    assert looked(tmp_path, rules({"name": "lost", "kind": "gap"}), NOW + 1) == []
    assert standing(tmp_path) == []


def test_never_more_messages_an_hour_than_stated_and_nothing_is_forgotten(tmp_path: Path) -> None:
    rule = {"name": "quiet", "kind": "silence", "hours": 1}
    given = rules(*({**rule, "name": f"quiet {index}"} for index in range(7)), most_an_hour=3)
    store_all(tmp_path, snapshot(), at=NOW - 2 * HOUR_NS)
    first = looked(tmp_path, given, NOW)
    assert [line.split(":")[0] for line in first] == [
        "quiet 0",
        "quiet 1",
        "5 notices together, for there are no more messages this hour",
    ]
    assert all(f"quiet {index}: 1 raised, 0 cleared" in first[2] for index in range(2, 7))
    store_all(tmp_path, snapshot(1), at=NOW)
    assert looked(tmp_path, given, NOW + HOUR_NS // 2) == []
    later = looked(tmp_path, given, NOW + HOUR_NS + 1)
    assert len(later) == 3
    assert "12 notices together" in later[2]


def test_clock_that_was_set_back_does_not_silence_alerts(tmp_path: Path) -> None:
    given = rules({"name": "quiet", "kind": "silence", "hours": 1}, most_an_hour=1)
    store_all(tmp_path, snapshot(), at=NOW - 2 * HOUR_NS)
    assert len(looked(tmp_path, given, NOW)) == 1
    back = NOW - 200_000 * HOUR_NS
    store_all(tmp_path, snapshot(instance=OTHER), at=back - 2 * HOUR_NS)
    assert any(OTHER in line for line in looked(tmp_path, given, back))


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that answers with these statuses in turn, then with 200."""
    left, got = list(statuses), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = left.pop(0) if left else 200
            if status == 200:
                got.append((self.path, body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", got
        finally:
            server.shutdown()
            thread.join()


def test_webhook_and_otlp_get_the_same_alert_and_one_that_fails_gets_it_later(tmp_path: Path) -> None:
    store_all(tmp_path, judged(10, 90, 0), at=NOW)
    with receiver(500) as (hook, hooked), receiver() as (backend, logs):
        given = rules(RATE, webhook=f"{hook}/alerts?team=1", otlp=backend, stdout=False)
        with open_store(tmp_path) as (store, engine):
            sinks = sinks_of(given, print)
            look(store, engine, given, list(sinks), NOW)
            (failure,) = tell(store, sinks, 10, NOW)
            assert "answered 500" in str(failure)
            assert tell(store, sinks, 10, NOW + 1) == []
            assert tell(store, sinks, 10, NOW + 2) == []
    [(path, body)] = hooked
    message: Message = json.loads(body)
    assert (path, message["rule"], message["raised"]) == (
        "/alerts?team=1",
        "rejected",
        {"count": 1, "subjects": {"the fleet": 0.9}},
    )
    [(path, body)] = logs
    (record,) = ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records
    assert (path, record.event_name, record.time_unix_nano) == ("/v1/logs", "edge.alert", NOW)
    assert record.body.string_value == message["text"]


def test_command_looks_once_and_keeps_what_no_sink_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_all(tmp_path / "store", snapshot(), at=NOW)
    file = tmp_path / "rules.toml"
    file.write_text('webhook = "http://127.0.0.1:1"\n[[rule]]\nname = "quiet"\nkind = "silence"\nhours = 1\n')
    command = ["fleet", "alerts", "--store", str(tmp_path / "store"), "--rules", str(file), "--once"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"quiet: raised: {INSTANCE}")
    assert said.err.count("\n") == 1
    assert "it is tried again" in said.err
    with open_store(tmp_path / "store") as (store, _), store.transaction() as connection:
        assert raised_now(connection) == [("quiet", INSTANCE)]
        waiting = connection.execute("SELECT sink FROM notice WHERE told_unix_ns IS NULL").fetchall()
    assert waiting == [("webhook",)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule = 1", "rule"),
        ("[[rule]\n", "not TOML"),
        ('[[rule]]\nname = "x"\nkind = "mood"\n', "kind"),
        ('[[rule]]\nname = "x"\nkind = "silence"\nhours = "4"\n', "hours"),
        ('[[rule]]\nname = "x"\nkind = "silence"\nhours = 4\nloud = true\n', "loud"),
        ('webhook = "file:///etc"\n[[rule]]\nname = "x"\nkind = "silence"\nhours = 4\n', "webhook"),
        ('[[rule]]\nname = "x"\nkind = "drift"\nraise_above = 0.1\nclear_below = 0.2\n', "clear_below"),
        ('[[rule]]\nname = "x"\nkind = "gap"\n[[rule]]\nname = "x"\nkind = "gap"\n', "two rules have one name"),
        ('webhook = "http://host:99999/"\n[[rule]]\nname = "x"\nkind = "gap"\n', "webhook"),
        ('webhook = "http://host/\u00e4"\n[[rule]]\nname = "x"\nkind = "gap"\n', "webhook"),
        ('otlp = "http://a..b/"\n[[rule]]\nname = "x"\nkind = "gap"\n', "otlp"),
        ("", "rule"),
    ],
)
def test_file_that_is_no_rules_is_refused_in_a_sentence_that_names_the_field(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=said):
        read_rules(path)
