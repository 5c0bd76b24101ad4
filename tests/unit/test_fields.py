"""What of an input leaves the device is what the policy says, in no other form, and by default nothing."""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from edge_rai import ManualClock, Session, SpoolSettings, load
from edge_rai.errors import PolicyError
from edge_rai.events import EventField, FieldForm
from edge_rai.policy import Events, FeatureRule, InputRule, OutputRule, Policy, Reference, compile_policy, parse_policy
from edge_rai.telemetry.agent import upload
from edge_rai.telemetry.spool import Spool
from support.bundles import write_bundle
from support.receivers import recording

DAY_NS = 86400 * 10**9
CANARY = np.float32(8.1234567)
TEXT = "canary-string-5f2c"
ROWS = np.array([[np.nan, 1, CANARY], [CANARY, CANARY, CANARY], [-7, 0.5, 3]], np.float32)


@pytest.fixture
def bundle(tmp_path: Path, linear_model: Path, linear_policy: Policy, linear_reference: Reference) -> Path:
    """The linear model, of whose features one leaves as a bin, one as a hash and none as it is."""
    events = Events(keep=100, sample_one_in=1, fields={"radius": "bucket", "texture": "keyed_hash", "area": "drop"})
    golden = {"x": np.array([[1, 2, 3]], np.float32)}
    policy = replace(linear_policy, events=events)
    return write_bundle(tmp_path / "events.erai", linear_model, policy, golden, linear_reference)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A model that says again what it is told, of which a hash leaves."""
    values = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "echo", values[:1], values[1:])
    path = tmp_path / "echo.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    feature = FeatureRule("word", categories=("harmless",))
    policy = Policy(
        format_version=1,
        batched=True,
        inputs=(InputRule("x", "string", (-1, 1), (64, 1), finite=False, feature_axis=1, features=(feature,)),),
        outputs=(OutputRule("y", "string", (-1, 1), finite=False),),
        events=Events(fields={"word": "keyed_hash"}),
    )
    golden = {"x": np.array([["harmless"]], object)}
    return write_bundle(tmp_path / "echo.erai", path, policy, golden, golden_outputs={})


def predict_each(session: Session) -> None:
    """Row by row: of a call that was not accepted as a whole no accepted row is drawn."""
    for row in ROWS:
        session.predict(row[None])


def written_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def fields_of(spool: Path) -> list[tuple[EventField, ...]]:
    reader = Spool(spool)
    return [event.fields for batch in reader.batches() for event in reader.read(batch).events]


def hashed(key: bytes, name: str, value: bytes) -> int:
    return int.from_bytes(hmac.new(key, name.encode() + b"\0" + value, hashlib.sha256).digest()[:8], "big")


def key_of(spool: Path) -> bytes:
    return bytes.fromhex((spool / "key").read_text().split()[2])


def test_no_raw_value_reaches_spool_or_wire(bundle: Path, words: Path, tmp_path: Path) -> None:
    spool, other = tmp_path / "spool", tmp_path / "other"
    with load(bundle, spool=spool) as session, load(words, spool=other) as texts:
        predict_each(session)
        session.predict({"radius": CANARY, "texture": CANARY, "area": CANARY})
        texts.predict(np.array([[TEXT]], object))
        session.flush()
        texts.flush()
    assert len(fields_of(spool)) == 4
    assert len(fields_of(other)) == 1
    everything = written_bytes(spool) + written_bytes(other)
    with recording() as receiver:
        assert upload(spool, receiver.url).sent == upload(other, receiver.url).sent == 1
    assert sorted({request.path for request in receiver.requests}) == ["/v1/logs", "/v1/metrics"]
    everything += b"".join(zlib.decompress(request.body, wbits=31) for request in receiver.requests)
    wide = float(CANARY)
    forms = [CANARY.tobytes(), struct.pack("<d", wide), b"8.1234", TEXT.encode(), TEXT[7:].encode()]
    forms += [hashlib.sha256(form).digest()[:8] for form in (CANARY.tobytes(), struct.pack("<d", wide), TEXT.encode())]
    for canary in forms:
        assert canary not in everything
        assert canary[::-1] not in everything
    assert TEXT.encode().hex().encode() not in everything
    for folder in (spool, other):
        assert key_of(folder).hex().encode() not in b"".join(request.body for request in receiver.requests)


def test_fields_are_the_bins_and_hashes_that_the_document_says(bundle: Path, words: Path, tmp_path: Path) -> None:
    spool, other = tmp_path / "spool", tmp_path / "other"
    with load(bundle, spool=spool) as session, load(words, spool=other) as texts:
        predict_each(session)
        texts.predict(np.array([[TEXT], ["x"]], object))
        session.flush()
        texts.flush()
    key = key_of(spool)
    bins = [4, 3, 0]  # edges at -1, 0.5 and 2; of NaN as many as there are
    expected = [
        (
            EventField(0, FieldForm.BUCKET, one),
            EventField(1, FieldForm.KEYED_HASH, hashed(key, "texture", row[1].tobytes())),
        )
        for one, row in zip(bins, ROWS, strict=True)
    ]
    assert fields_of(spool) == expected
    told = [hashed(key_of(other), "word", word.encode()) for word in (TEXT, "x")]
    assert fields_of(other) == [(EventField(0, FieldForm.KEYED_HASH, one),) for one in told]
    with recording() as receiver:
        upload(spool, receiver.url)
    logs = next(request.body for request in receiver.requests if request.path == "/v1/logs")
    record = (
        ExportLogsServiceRequest.FromString(zlib.decompress(logs, wbits=31))
        .resource_logs[0]
        .scope_logs[0]
        .log_records[1]
    )
    values = {pair.key: pair.value for pair in record.attributes}
    assert values["edge.field.radius"].int_value == 3
    assert values["edge.field.texture"].string_value == f"{expected[1][1].value:016x}"
    assert "edge.field.area" not in values


def test_hashes_of_one_value_are_equal_on_one_day_and_not_on_the_next(bundle: Path, tmp_path: Path) -> None:
    clock = ManualClock(unix_ns=20_000 * DAY_NS)
    row = ROWS[1:2]
    found: list[float] = []
    for _ in range(2):  # the second session goes on with the key of the first
        with load(bundle, spool=tmp_path / "spool", clock=clock) as session:
            session.predict(row)
            session.predict(row)
            session.flush()
        found += [fields[1].value for fields in fields_of(tmp_path / "spool")][len(found) :]
    assert len(set(found)) == 1
    before = key_of(tmp_path / "spool")
    clock.unix_ns += DAY_NS
    with load(bundle, spool=tmp_path / "spool", clock=clock) as session:
        session.predict(row)
        session.flush()
    assert fields_of(tmp_path / "spool")[-1][1].value not in found
    assert key_of(tmp_path / "spool") != before
    assert before.hex().encode() not in written_bytes(tmp_path / "spool")


def test_policy_turns_events_on_and_a_device_turns_them_off(bundle: Path, tmp_path: Path) -> None:
    for name, settings in (("on", None), ("off", 0), ("more", 3)):
        with load(bundle, spool=SpoolSettings(tmp_path / name, events=settings)) as session:
            predict_each(session)
            session.flush()
    assert [len(fields_of(tmp_path / name)) for name in ("on", "off")] == [3, 0]
    assert not (tmp_path / "off" / "key").exists()
    assert 1 <= len(fields_of(tmp_path / "more")) <= 3


def test_plain_is_the_number_itself_and_only_where_the_policy_says_so(
    tmp_path: Path, linear_model: Path, linear_policy: Policy
) -> None:
    policy = replace(linear_policy, events=Events(sample_one_in=1, fields={"area": "plain"}))
    path = write_bundle(tmp_path / "plain.erai", linear_model, policy, {"x": np.ones((1, 3), np.float32)})
    with load(path, spool=tmp_path / "spool") as session:
        session.predict(ROWS[2:])
        session.flush()
    assert fields_of(tmp_path / "spool") == [(EventField(2, FieldForm.PLAIN, 3.0),)]
    assert not (tmp_path / "spool" / "key").exists()


INPUT = '[[inputs]]\nname = "x"\ndtype = "{}"\nshape = {}\nmax_shape = {}\nfeature_axis = 1\n'
INPUT += 'features = [{{ name = "f" }}]\n'
OUTPUT = '[[outputs]]\nname = "y"\ndtype = "float32"\nshape = [-1, 1]\n'


@pytest.mark.parametrize(
    ("dtype", "shape", "rule", "said"),
    [
        ("float32", [-1, 1], 'fields = { f = "raw" }', "events.fields"),
        ("float32", [-1, 1], 'fields = { g = "drop" }', "feature 'g', which no input has"),
        ("float32", [-1, 1, 5], 'fields = { f = "bucket" }', "more than one value a feature and row"),
        ("string", [-1, 1], 'fields = { f = "plain" }', "strings leave as 'keyed_hash', or not at all"),
        ("float32", [-1, 1], "keep = 0", "events.keep is 0; it must be 1 to 1048576"),
        ("float32", [-1, 1], "sample_one_in = -1", "events.sample_one_in is -1"),
    ],
)
def test_rule_that_cannot_be_kept_is_refused_in_a_sentence(dtype: str, shape: list[int], rule: str, said: str) -> None:
    most = [8, *shape[1:]]
    text = f"format_version = 1\nbatched = true\n{INPUT.format(dtype, shape, most)}{OUTPUT}[events]\n{rule}\n"
    with pytest.raises(PolicyError, match=said):
        parse_policy(text)


def test_bucket_needs_a_reference(linear_policy: Policy) -> None:
    policy = replace(linear_policy, events=Events(fields={"radius": "bucket"}))
    with pytest.raises(PolicyError, match="a bucket needs a reference"):
        compile_policy(policy, None)
