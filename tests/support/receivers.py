"""An OTLP receiver that answers as a test says, and certificates for it."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from support.telemetry import PROTOBUF


class Request(NamedTuple):
    """What came."""

    path: str
    headers: dict[str, str]
    body: bytes


Answering = Callable[[Request], int]


class Recorder(http.server.ThreadingHTTPServer):
    """Keeps every request, and answers with the status that ``answering`` says; 200 is a receipt."""

    daemon_threads = True

    def __init__(self, answering: Answering = lambda _: 200, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answering = answering
        self.requests: list[Request] = []
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that shows no certificate is what a test is about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = Request(self.path, dict(self.headers), body)
        self.server.requests.append(request)
        self.send_response(self.server.answering(request))
        for name, value in {**PROTOBUF, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def recording(answering: Answering = lambda _: 200, context: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    """A receiver, while it runs."""
    with Recorder(answering, context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("certificates are made with openssl, which is not installed")
        self._folder = folder
        self.path, self._key = folder / "authority.pem", folder / "authority.key"
        self._run("req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.path, "-subj", "/CN=authority")

    def issue(self, name: str) -> tuple[Path, Path]:
        """The files of a certificate and its key."""
        certificate, key, asked = (self._folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        self._run("req", *_NEW_KEY, "-keyout", key, "-out", asked, "-subj", f"/CN={name}")
        extensions = self._folder / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        signing = ("-CA", self.path, "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions, "-days", "2")
        self._run("x509", "-req", "-in", asked, *signing, "-out", certificate)
        return certificate, key

    def server_context(self, *, of_clients: bool) -> ssl.SSLContext:
        """Of a server; ``of_clients``: that asks them for a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server"))
        if of_clients:
            context.load_verify_locations(self.path)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
