"""An ExportMetricsServiceRequest whose metrics are left as bytes: most of them say again what has been read before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2


class ScopeOfBytes(Protocol):
    """A ScopeMetrics; each of its metrics as protobuf wrote it."""

    scope: common_pb2.InstrumentationScope
    metrics: Sequence[bytes]


class ResourceOfBytes(Protocol):
    """A ResourceMetrics."""

    resource: resource_pb2.Resource
    scope_metrics: Sequence[ScopeOfBytes]


class RequestOfBytes(Protocol):
    """An ExportMetricsServiceRequest."""

    resource_metrics: Sequence[ResourceOfBytes]


def read_request(body: bytes) -> RequestOfBytes:
    """Reads the bytes of an ExportMetricsServiceRequest, but not those of its metrics.

    Raises:
        DecodeError: They are none.
    """
    return cast(RequestOfBytes, _REQUEST.FromString(body))


def _message_type() -> type[Message]:
    """OpenTelemetry's messages with one difference: in the wire format a message within another one is bytes."""
    file = FileDescriptorProto(name="edge_rai/request.proto", package="edge_rai", syntax="proto3")
    file.dependency.extend([common_pb2.DESCRIPTOR.name, resource_pb2.DESCRIPTOR.name])
    theirs = (metrics_pb2.ScopeMetrics, metrics_pb2.ResourceMetrics, ExportMetricsServiceRequest)
    names = {f".{message.DESCRIPTOR.full_name}": f".edge_rai.{message.DESCRIPTOR.name}" for message in theirs}
    for message in theirs:
        copy = file.message_type.add()
        message.DESCRIPTOR.CopyToProto(copy)
        for field in copy.field:
            if field.name == "metrics":
                field.type = FieldDescriptorProto.TYPE_BYTES
                field.ClearField("type_name")
            elif field.type_name in names:
                field.type_name = names[field.type_name]
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edge_rai.ExportMetricsServiceRequest"))


_REQUEST: Final = _message_type()
