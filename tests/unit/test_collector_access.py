"""Who may send and who may look, what is taken beside metrics in protobuf, and what the page says to a browser."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai.cli import main
from edge_rai.fleet.access import is_allowed, read_tokens
from edge_rai.fleet.decode_events import decode_events
from edge_rai.fleet.queries import Part, last_events
from edge_rai.fleet.store import stored
from edge_rai.telemetry import otlp
from edge_rai.telemetry.otlp_events import DECISION_EVENT, EPOCH, encode_events
from support.fleets import open_store
from support.telemetry import GZIP, INSTANCE, PROTOBUF, CollectorProcess, post, request, snapshot

DEVICE, READER = "device-token-0123456789", "reader-token-0123456789"
JSON = {"Content-Type": "application/json"}
ATTRIBUTES = {"edge.class": 2, "edge.verdict": 2, "edge.source": 3, "edge.reasons": 16, "edge.row": 0}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CollectorProcess, Path]]:
    """A collector with tokens for devices and for readers."""
    folder = tmp_path_factory.mktemp("guarded")
    for name, token in (("devices", DEVICE), ("readers", READER)):
        (folder / name).write_text(f"# of the {name}\n\n{token}\n")
    options = ("--device-tokens", folder / "devices", "--reader-tokens", folder / "readers")
    with CollectorProcess(folder / "store", *options) as collector:
        yield collector, folder / "store"
        assert collector.process.poll() is None, "a request ended the collector"


Guarded = tuple[CollectorProcess, Path]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def get(url: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def events(*numbers: int, instance: str = INSTANCE, name: str = DECISION_EVENT) -> ExportLogsServiceRequest:
    """Logs as a device sends them."""
    message = ExportLogsServiceRequest()
    about = message.resource_logs.add()
    said = {otlp.SERVICE_INSTANCE: instance, otlp.MODEL_DIGEST: "ab" * 6}
    for key, value in said.items():
        about.resource.attributes.add(key=key).value.string_value = value
    scope = about.scope_logs.add()
    scope.scope.name = otlp.SCOPE
    scope.scope.attributes.add(key=otlp.BATCH).value.string_value = f"7:0:{len(numbers):x}"
    for number in numbers:
        record = scope.log_records.add(event_name=name, time_unix_nano=10**18, severity_number=14)
        for key, value in {**ATTRIBUTES, EPOCH: 7, "edge.number": number}.items():
            record.attributes.add(key=key).value.int_value = value
    return message


@pytest.mark.parametrize("headers", [{}, bearer("wrong-token-0123456789"), bearer(READER), {"Authorization": "Basic"}])
def test_device_without_its_token_is_refused_and_nothing_is_stored(guarded: Guarded, headers: dict[str, str]) -> None:
    collector, store = guarded
    status, answered, body = post(collector.url, request(snapshot(500)), {**PROTOBUF, **headers})
    assert (status, answered["WWW-Authenticate"]) == (401, "Bearer")
    assert "Bearer TOKEN" in otlp.read_status(body)
    assert all(one.sequence != 500 for one in stored(store))


def test_device_with_its_token_is_heard(guarded: Guarded) -> None:
    collector, store = guarded
    assert post(collector.url, request(snapshot(501)), {**PROTOBUF, **bearer(DEVICE)})[0] == 200
    assert any(one.sequence == 501 for one in stored(store))


def test_page_is_for_readers_and_asks_a_browser_for_the_token(guarded: Guarded) -> None:
    url = guarded[0].url
    status, headers, _ = get(url, "/")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="fleet", charset="UTF-8"')
    assert get(url, "/", bearer(DEVICE))[0] == 401
    basic = {"Authorization": "Basic " + base64.b64encode(f"me:{READER}".encode()).decode()}
    status, headers, page = get(url, "/", basic)
    assert status == 200
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert ">Fleet</h1>" in page


def test_page_says_what_it_does_not_know_and_lets_no_name_become_markup(guarded: Guarded) -> None:
    url = guarded[0].url
    for path in ("/device?instance=<script>", "/device", "/model?digest=x", "/feature?guard=x&feature=" + quote("<b>")):
        status, _, page = get(url, path, bearer(READER))
        assert status == 404
        assert "<script" not in page
        assert "<b>" not in page
    assert get(url, "/device?hours=never&instance=" + INSTANCE, bearer(READER))[0] in (200, 404)


def test_json_is_taken_as_protobuf_is_and_answered_in_kind(guarded: Guarded) -> None:
    collector, store = guarded
    body = json_format.MessageToJson(ExportMetricsServiceRequest.FromString(request(snapshot(510)))).encode()
    headers = {**JSON, **bearer(DEVICE)}
    status, answered, said = post(collector.url, body, headers)
    assert (status, answered["Content-Type"], json.loads(said)) == (200, "application/json", {})
    zipped = {**headers, "Content-Encoding": "gzip"}
    assert post(collector.url, otlp.compress(body), zipped)[2] == b"{}"
    assert post(collector.url, request(snapshot(510)), {**PROTOBUF, **bearer(DEVICE)})[2] == b""  # the same batch
    assert sum(one.sequence == 510 for one in stored(store)) == 1
    refused = post(collector.url, body.replace(b"edge_rai", b"stranger"), headers)
    assert int(json.loads(refused[2])["partialSuccess"]["rejectedDataPoints"]) > 0
    for bad in (b"{", b"[]", b"[" * 100_000, b'{"resourceMetrics": 1}', b"\xff", b'{"a": ' + b"9" * 5000 + b"}"):
        status, _, said = post(collector.url, bad, headers)
        assert status == 400 or (status, said) == (200, b"{}")  # a field that nobody knows is left


def test_events_are_stored_once_however_often_they_come(guarded: Guarded) -> None:
    collector, store = guarded
    headers = {**GZIP, **bearer(DEVICE)}
    for numbers in ((1, 2), (1, 2), (2, 3)):
        body = otlp.compress(events(*numbers).SerializeToString())
        assert post(collector.url, body, headers, "/v1/logs")[::2] == (200, b"")
    told = json_format.MessageToJson(events(4, name="edge.drift")).encode()
    assert post(collector.url, told, {**JSON, **bearer(DEVICE)}, "/v1/logs")[2] == b"{}"
    with open_store(store) as (ledger, engine), ledger.transaction() as connection:
        assert [row[0] for row in connection.execute("SELECT number FROM event ORDER BY 1")] == [1, 2, 3, 4]
        found = {row["number"]: row for row in engine.rows(last_events(Part(), 10))}
    assert sorted(found) == [1, 2, 3, 4]
    assert found[4]["name"] == "edge.drift"
    assert json.loads(found[1]["said"]) == ATTRIBUTES
    assert (found[1]["unix_ns"], found[1]["severity"], found[1]["model_digest"]) == (10**18, 14, "ab" * 6)
    page = get(collector.url, "/", bearer(READER))[2]
    assert "edge.drift" in page
    assert "source default, verdict reject" in page


def test_events_that_are_none_of_ours_or_not_whole_are_refused() -> None:
    split = events(1, 2)
    del split.resource_logs[0].scope_logs[0].log_records[0]
    stranger = events(1)
    stranger.resource_logs[0].scope_logs[0].scope.name = "kernel"
    nested = events(1)
    nested.resource_logs[0].scope_logs[0].log_records[0].attributes.add(key="x").value.kvlist_value.values.add(key="y")
    for bad in (
        split,
        stranger,
        nested,
        events(-1),
        events(2**63 - 1),
        events(1, name="boot"),
        events(1, instance="me"),
    ):
        found, refusals = decode_events(bad)
        assert found == []
        assert [refusal.points for refusal in refusals] == [1]
    assert encode_events(snapshot(), ()) == b""


def test_page_beyond_the_loopback_interface_needs_tokens(tmp_path: Path) -> None:
    prelude = "import edge_rai.fleet.server as c; c.listen = lambda _, l=c.listen: l('0.0.0.0:0'); "
    log = tmp_path / "log"
    with CollectorProcess(tmp_path / "store", prelude=prelude, log=log) as collector:
        assert log.read_text() == (
            "edge-rai collect: beyond the loopback interface without --device-tokens (anybody who reaches it can send)"
            ", and without --tls-certificate and --tls-key (batches and tokens can be read on the way)\n"
        )
        status, _, page = get(collector.url.replace("0.0.0.0", "127.0.0.1"), "/")
        assert status == 403
        assert "--reader-tokens" in page


@pytest.mark.parametrize("text", ["", "# none\n", "short", "with a space in it 0123456789", "ümlaut-0123456789-0123"])
def test_file_without_a_usable_token_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ValueError, match="token"):
        read_tokens(tmp_path / "tokens")


def test_authorization_that_is_none_allows_nobody() -> None:
    for given in ("", "Bearer", "Bearer ", "Basic !!!", "Basic " + base64.b64encode(b"x").decode(), f"Digest {DEVICE}"):
        assert not is_allowed((DEVICE.encode(),), given)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority, a server's certificate and a client's."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    try:
        openssl(*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    except FileNotFoundError:
        pytest.skip("there is no program openssl to make certificates with")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    return folder


def test_with_a_client_authority_only_its_clients_are_heard(authority: Path, tmp_path: Path) -> None:
    options = ("--tls-certificate", authority / "server.pem", "--tls-key", authority / "server.key")
    with CollectorProcess(tmp_path, *options, "--tls-client-ca", authority / "ca.pem") as collector:
        assert collector.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(authority / "ca.pem"))

        def send() -> int:
            connection = http.client.HTTPSConnection(urlsplit(collector.url).netloc, timeout=60, context=context)
            try:
                connection.request("POST", "/v1/metrics", request(snapshot()), PROTOBUF)
                return connection.getresponse().status
            finally:
                connection.close()

        with pytest.raises(OSError, match=r"(?i)certificate|reset|closed|EOF"):
            send()
        assert stored(tmp_path) == []
        context.load_cert_chain(authority / "client.pem", authority / "client.key")
        assert send() == 200
    assert len(stored(tmp_path)) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tls-key", "server.key"), "go together"),
        (("--tls-client-ca", "ca.pem"), "needs --tls-certificate"),
        (("--tls-certificate", "server.key", "--tls-key", "server.key"), "in PEM"),
        (("--device-tokens", "nothing"), "nothing"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_one_line(
    authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(authority)
    assert main(["collect", "--listen", "127.0.0.1:0", "--store", str(tmp_path), *options]) in (2, 4)
    printed = capsys.readouterr()
    assert said in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")
