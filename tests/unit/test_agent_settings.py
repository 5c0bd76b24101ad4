"""What an agent is told beside where to: how much, when, who it is, and who may listen."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai import SpoolSettings, UploadSettings, load
from edge_rai.cli import main
from edge_rai.telemetry.agent import Clocks, upload
from edge_rai.telemetry.budget import Budget
from edge_rai.telemetry.settings import Quiet, parse_attribute, parse_quiet
from edge_rai.telemetry.spool import REFUSED, Spool
from support.receivers import Authority, Request, recording
from support.telemetry import command_line

DAY_S = 86400.0


def clocks(seconds: float = 0.0, minute: int = 0, boot: str = "one") -> Clocks:
    return Clocks(lambda: (boot, seconds), lambda: minute)


def is_gzip(request: Request) -> bool:
    return request.headers.get("Content-Encoding") == "gzip"


def test_receiver_that_refuses_gzip_gets_everything_as_it_is_after_one_try(batch_spool: Path) -> None:
    with recording(lambda request: 400 if is_gzip(request) else 200) as receiver:
        report = upload(batch_spool, receiver.url)
    assert (report.sent, report.refused, report.error) == (3, [], None)
    assert [is_gzip(request) for request in receiver.requests] == [True, False, False, False]
    ExportMetricsServiceRequest.FromString(receiver.requests[1].body)


def test_receiver_that_has_taken_gzip_and_then_says_400_means_the_batch(batch_spool: Path) -> None:
    answers = iter([200, 400, 200])
    with recording(lambda _: next(answers)) as receiver:
        report = upload(batch_spool, receiver.url)
    assert (report.sent, len(report.refused)) == (2, 1)
    assert all(map(is_gzip, receiver.requests))
    assert len(Spool(batch_spool / REFUSED).batches()) == 1


def test_token_is_read_anew_every_pass_and_never_goes_over_a_network_unencrypted(
    batch_spool: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    with recording(lambda request: 200 if request.headers["Authorization"] == "Bearer new" else 401) as receiver:
        settings = UploadSettings(receiver.url, token_file=token)
        token.write_text("old\n")
        report = upload(batch_spool, settings)
        assert (report.sent, report.kept) == (0, 3)
        assert report.error is not None
        assert not report.error.retryable
        token.write_text("new\n")
        assert upload(batch_spool, settings).sent == 3
    with pytest.raises(ValueError, match="a token is sent over https only"):
        upload(batch_spool, UploadSettings("http://collector.example", token_file=token))
    token.write_text("two words")
    with pytest.raises(ValueError, match="must hold one token"):
        upload(batch_spool, settings)


def test_certificates_of_both_sides_are_asked_for(batch_spool: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("device")
    with recording(context=authority.server_context(of_clients=True)) as receiver:
        distrusting = upload(batch_spool, UploadSettings(receiver.url, certificate=certificate, key=key))
        assert distrusting.error is not None
        assert not distrusting.error.retryable
        nameless = upload(batch_spool, UploadSettings(receiver.url, ca=authority.path, timeout_s=5))
        assert (nameless.sent, nameless.kept) == (0, 3)
        settings = UploadSettings(receiver.url, ca=authority.path, certificate=certificate, key=key)
        assert upload(batch_spool, settings).sent == 3
    with pytest.raises(ValueError, match="no certificate with its key"):
        upload(batch_spool, settings._replace(key=authority.path))
    with pytest.raises(ValueError, match="certificates are for https"):
        upload(batch_spool, settings._replace(endpoint="http://127.0.0.1:1"))


def test_quiet_hours_send_nothing_and_lose_nothing(batch_spool: Path) -> None:
    night = UploadSettings("http://127.0.0.1:1", quiet=parse_quiet("22:00-06:00"))
    for minute in (22 * 60, 23 * 60 + 59, 0, 5 * 60 + 59):
        report = upload(batch_spool, night, clocks(minute=minute))
        assert (report.waiting, report.kept, report.error) == ("quiet hours, 22:00-06:00", 3, None)
    assert upload(batch_spool, night, clocks(minute=6 * 60)).waiting is None
    assert Quiet(60, 120).holds(60)
    assert not Quiet(60, 120).holds(120)
    for wrong in ("22-06", "24:00-01:00", "06:00-06:00", ""):
        with pytest.raises(ValueError, match="quiet hours are like 22:00-06:00"):
            parse_quiet(wrong)


def test_budget_is_kept_over_restarts_and_comes_back_after_a_day(batch_spool: Path) -> None:
    with recording() as receiver:
        settings = UploadSettings(receiver.url, bytes_a_day=3000)
        first = upload(batch_spool, settings, clocks(1000.0))
        assert 0 < first.sent < 3
        assert first.error is None
        assert first.waiting is not None
        for seconds in (1000.0, 1000.0 + DAY_S - 3600):
            assert upload(batch_spool, settings, clocks(seconds)).sent == 0
        assert upload(batch_spool, settings, clocks(1000.0 + DAY_S + 3600)).sent > 0
    assert sum(len(request.body) for request in receiver.requests[: first.sent]) <= 3000


def test_batch_beyond_the_budget_of_any_day_is_named_and_holds_back_nobody(batch_spool: Path) -> None:
    with recording() as receiver:
        report = upload(batch_spool, UploadSettings(receiver.url, bytes_a_day=600), clocks())
    assert (report.sent, report.kept, report.waiting) == (0, 3, None)
    assert len(report.unreadable) == 3
    assert "allow more" in report.unreadable[0]
    assert receiver.requests == []


def test_no_day_sees_more_than_the_budget_whatever_the_device_does(tmp_path: Path) -> None:
    """30 days of requests at random, over reboots and restarts."""
    chance, now_s, boot, booted_s = np.random.default_rng(4), 0.0, 0, 0.0
    sent: list[tuple[float, int]] = []

    def since_boot() -> tuple[str, float]:
        return str(boot), now_s - booted_s

    budget = Budget(tmp_path, 10_000, since_boot)
    while now_s < 30 * DAY_S:
        now_s += float(chance.exponential(2000))
        if chance.random() < 0.02:  # off for hours, and then another boot
            now_s += float(chance.exponential(10_000))
            boot, booted_s = boot + 1, now_s
            budget = Budget(tmp_path, 10_000, since_boot)
        elif chance.random() < 0.05:
            budget = Budget(tmp_path, 10_000, since_boot)
        size = int(chance.integers(1, 2000))
        if budget.take(size):
            sent.append((now_s, size))
    # Time for which the device was off, or that no agent saw the end of, gives nothing back: about a half is left.
    assert sum(size for _, size in sent) > 30 * 10_000 * 0.3
    for first, (at_s, _) in enumerate(sent):
        assert sum(size for when, size in sent[first:] if when < at_s + DAY_S) <= 10_000


def test_damaged_account_of_the_budget_counts_as_a_day_spent(tmp_path: Path) -> None:
    numbers = (
        '0, "s": 0, "sent": []',
        '0, "s": NaN, "sent": {}',
        '1e999, "s": 0, "sent": {}',
        '0, "s": 1e999, "sent": {}',
    )
    sizes = ('0, "s": 0, "sent": []', '0, "s": 0, "sent": {"0": -9}', '0, "s": 0, "sent": {"0": 1e999}')
    more = ('0, "s": 1e9, "sent": {"0": []}', *numbers, *sizes)
    for damage in ("", "{}", "[]", "[" * 100_000, *(f'{{"boot": "one", "boot_s": {said}}}' for said in more)):
        (tmp_path / "upload").write_text(damage)
        assert not Budget(tmp_path, 100, clocks().since_boot).take(1)


def test_attributes_of_the_operator_go_with_the_resource(batch_spool: Path) -> None:
    given = tuple(map(parse_attribute, ("edge.site=Halle 3", "device.model.identifier=cm4")))
    with recording() as receiver:
        upload(batch_spool, UploadSettings(receiver.url, attributes=given))
    request = ExportMetricsServiceRequest.FromString(zlib.decompress(receiver.requests[0].body, wbits=31))
    about = {pair.key: pair.value.string_value for pair in request.resource_metrics[0].resource.attributes}
    assert about["edge.site"] == "Halle 3"
    assert about["device.model.identifier"] == "cm4"
    assert about["service.name"] == "edge_rai"
    for wrong in ("edge.site", "edge.site=", "service.name=x", "edge.model=x", "password=x", "edge.site=a\nb"):
        with pytest.raises(ValueError, match="attribute"):
            parse_attribute(wrong)


def test_prometheus_reads_what_the_agent_has_done(batch_spool: Path) -> None:
    with recording() as receiver:
        options = ["--endpoint", receiver.url, "--interval", "3600", "--metrics", "127.0.0.1:0"]
        command = command_line("agent", "--spool", batch_spool, *options)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
            assert agent.stderr is not None
            assert agent.stdout is not None
            address = re.fullmatch(r"metrics at http://(.*)/metrics\n", agent.stderr.readline())
            assert address
            assert agent.stdout.readline().startswith("sent 3")
            connection = http.client.HTTPConnection(address[1], timeout=60)
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            agent.terminate()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values = dict(re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE))
    assert values['edge_agent_batches_total{fate="sent"}'] == "3"
    assert values["edge_calls_total"] == "3"
    assert values['edge_rows_total{verdict="reject"}'] == "2"
    assert values["edge_spool_batches"] == "0"
    kinds = dict(re.findall(r"^# TYPE (\w+) (counter|gauge)$", text, re.MULTILINE))
    assert {re.sub(r"\{.*", "", name) for name in values} == set(kinds)
    assert all(name.endswith("_total") is (kind == "counter") for name, kind in kinds.items())


def test_session_uploads_by_itself(linear_bundle: Path, tmp_path: Path) -> None:
    came = threading.Event()

    def take(_: Request) -> int:
        came.set()
        return 200

    with recording(take) as receiver:
        settings = SpoolSettings(tmp_path / "spool", upload=UploadSettings(receiver.url, interval_s=0.01))
        with load(linear_bundle, spool=settings) as session:
            session.predict(np.ones((1, 3), np.float32))
            session.flush()
            assert came.wait(60)
    with pytest.raises(ValueError, match="the endpoint must be like"):
        load(linear_bundle, spool=SpoolSettings(tmp_path / "spool", upload="collector:4318"))


def test_close_of_a_session_does_not_wait_for_a_receiver_that_is_away(linear_bundle: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        upload_settings = UploadSettings(endpoint, interval_s=0.01, timeout_s=30)
        session = load(linear_bundle, spool=SpoolSettings(tmp_path / "spool", upload=upload_settings))
        session.predict(np.ones((1, 3), np.float32))
        session.flush()
        with silent.accept()[0]:  # the request is under way, and nobody answers
            began = time.monotonic()
            session.close()
            assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--quiet", "22-6", "quiet hours are like 22:00-06:00"),
        ("--attribute", "password=x", "'password' is no attribute that is given"),
        ("--metrics", "9464", "is no address such as 127.0.0.1:9464"),
        ("--bytes-a-day", "0", "is not a number of bytes from 1"),
        ("--key", "device.key", "--key is the key of a --certificate"),
        ("--ca", "nobody.pem", "nobody.pem"),
    ],
)
def test_wrong_option_is_refused_in_a_sentence(
    tmp_path: Path, option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code: object
    try:
        code = main(["agent", "--spool", str(tmp_path), "--endpoint", "https://c.example", "--once", option, value])
    except SystemExit as stopped:
        code = stopped.code
    assert code in (2, 4)
    assert said in capsys.readouterr().err


def test_unit_of_the_examples_is_one_that_systemd_takes_and_runs_the_agent(tmp_path: Path) -> None:
    unit = (Path(__file__).parents[2] / "examples/systemd/edge-rai-agent.service").read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=\S+/edge-rai (.*)$", unit.replace("\\\n", " "), re.MULTILINE)
    assert command
    arguments = command[1].replace("${ENDPOINT}", "http://127.0.0.1:1").replace("${SPOOL}", str(tmp_path)).split()
    done = subprocess.run(command_line(*arguments, "--once"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 4), done.stderr  # the unit's certificates are not on this machine
    assert "usage" not in done.stderr
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed; the command of the unit is right")
    here = tmp_path / "edge-rai-agent.service"
    here.write_text(re.sub(r"^ExecStart=\S+/edge-rai", f"ExecStart={sys.executable}", unit, flags=re.MULTILINE))
    told = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    assert told.stderr == ""
