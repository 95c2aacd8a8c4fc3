"""The door for everything that comes by a socket: HTTP, the proxy, TLS in Google's names, and gRPC behind either.

One port takes all of it. What a connection wants shows in its first bytes: a TLS greeting that offers HTTP/2 alone is
gRPC, any other TLS is REST; `PRI` is gRPC without TLS; the rest is HTTP, within which `CONNECT` opens a way to a name of Google's.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from nbvertex.emulator.problem import ApiError, Dropped
from nbvertex.emulator.web import Part, Readable, Reply, Request, error_reply

OURS = (".googleapis.com", "accounts.google.com", "metadata.google.internal", "169.254.169.254")
HERE = ("127.0.0.1", "localhost", "0.0.0.0", "::1")
PATIENCE = 5.0  # for the rest of a greeting
Serve = Callable[[Request], Reply]


class Ways:
    """Where a door leads to.

    Args:
        serve: answers a request over HTTP.
        certificate: a PEM file of the chain.
        key: a PEM file.
        grpc: the port for gRPC over TLS.
        plain_grpc: the port for gRPC without.
    """

    def __init__(self, serve: Serve, certificate: str, key: str, grpc: int, plain_grpc: int) -> None:
        self.serve, self.grpc, self.plain_grpc = serve, grpc, plain_grpc
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        self.tls.set_alpn_protocols(["http/1.1"])


class Door(socketserver.ThreadingTCPServer):
    """One port of the loopback; whoever comes by it without a token is taken for its service account.

    Args:
        port: the port; 0: a free one.
        identity: the service account.
        ways: where it leads to.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, identity: str, ways: Ways) -> None:
        self.identity, self.ways = identity, ways
        super().__init__(("127.0.0.1", port), Visit)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def open(self) -> None:
        """Begin to serve."""
        threading.Thread(
            target=self.serve_forever, args=(0.2,), name=f"door {self.port}", daemon=True
        ).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no fault; anything else is told."""
        if not isinstance(sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1], OSError):
            traceback.print_exc(file=sys.stderr)


class Visit(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a reply is several writes, and the client waits for the last one
    timeout = 600
    server: Door
    connected = ""  # the name that a tunnel leads to
    secure = False

    def handle(self) -> None:
        """See what the connection wants, and do it."""
        first = self._peek(4)
        if first[:1] == b"\x16":
            if not self._secured():
                return
        elif first == b"PRI ":
            self._pump(self.server.ways.plain_grpc)
            return
        super().handle()

    def do_CONNECT(self) -> None:
        """Open a tunnel to a name of Google's; its end is here."""
        host = self.path.rpartition(":")[0].strip("[]").lower()
        if not ours(host):
            self._refuse(host)
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        self.connected = host
        self.close_connection = False
        if self._peek(4)[:1] == b"\x16" and not self._secured():
            self.close_connection = True

    def _serve(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        host = (url.hostname or self.connected or named(self.headers.get("Host", ""))).lower()
        if url.hostname and not ours(host) and host not in HERE:
            self._refuse(host)
            return
        body = Body(self.rfile, self.headers.get("Content-Length"), self.headers.get("Transfer-Encoding", ""))
        scheme = "https" if self.secure else "http"
        request = Request(
            self.command, host, url.path, url.query,
            {name.lower(): value for name, value in self.headers.items()},
            body, self.server.identity, f"{scheme}://{self.connected or self.headers.get('Host', 'localhost')}",
        )  # fmt: skip
        try:
            reply = self.server.ways.serve(request)
        except ApiError as error:
            reply = error_reply(error)
        except Dropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        except OSError:  # the client hung up
            raise
        except Exception as error:  # a fault of ours is told, and answered as Google answers its own
            traceback.print_exc(file=sys.stderr)
            reply = error_reply(ApiError("INTERNAL", f"{type(error).__name__}: {error}"))
        body.finish()
        self._answer(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(reply.size))
        self.end_headers()
        if self.command == "HEAD":
            if isinstance(reply.body, Part):
                reply.body.stream.close()
            return
        if isinstance(reply.body, Part):
            for block in reply.body.blocks():
                self.wfile.write(block)
        else:
            self.wfile.write(reply.body)
        if reply.held is not None:
            self.close_connection = True
            self.connection.settimeout(None)
            try:
                self.rfile.read(1)
            except OSError:  # it hung up hard
                pass
            reply.held()

    def _refuse(self, host: str) -> None:
        """The offline guard: a name that is not Google's is not reached."""
        said = f"the nbvertex emulator lets nothing out: {host} is neither Google's nor this machine"
        self.close_connection = True
        data = f"{said}\n".encode()
        self.wfile.write(
            f"HTTP/1.1 403 Refused: {said}\r\nContent-Type: text/plain\r\nContent-Length: {len(data)}\r\n"
            "Connection: close\r\n\r\n".encode("latin-1", "replace")
            + data
        )

    def _peek(self, size: int) -> bytes:
        """The first bytes that wait, without taking them."""
        try:
            return bytes(self.connection.recv(size, socket.MSG_PEEK))
        except OSError:
            return b""

    def _greeting(self) -> bytes:
        """The whole greeting of TLS, which may come in several packets."""
        until = time.monotonic() + PATIENCE
        while True:
            found = self._peek(5 + 0xFFFF)
            if len(found) >= 5 and len(found) >= 5 + int.from_bytes(found[3:5], "big"):
                return found
            if not found or time.monotonic() > until:
                return b""
            time.sleep(0.002)

    def _secured(self) -> bool:
        """End TLS here and go on with HTTP in it; False where it was gRPC, or broke."""
        greeting = self._greeting()
        if b"\x02h2" in greeting and b"\x08http/1.1" not in greeting:
            self._pump(self.server.ways.grpc)
            return False
        try:
            self.connection = self.server.ways.tls.wrap_socket(self.connection, server_side=True)
        except OSError:  # the client does not trust us, or hung up
            self.close_connection = True
            return False
        self.secure = True
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = socketserver._SocketWriter(self.connection)  # type: ignore[attr-defined]
        return True

    def finish(self) -> None:
        """Say goodbye within TLS, too."""
        super().finish()
        if self.secure:
            try:
                self.connection.close()
            except OSError:  # it is gone already
                pass

    def _pump(self, port: int) -> None:
        """Pass bytes on to the gRPC server and back, until either side ends."""
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", port)) as other:
            self.connection.settimeout(None)
            back = threading.Thread(target=flow, args=(other, self.connection), daemon=True)
            back.start()
            flow(self.connection, other)
            back.join()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Calls are noted by the dispatcher, not on stderr."""


def ours(host: str) -> bool:
    """Whether a name is one that the emulator stands for."""
    return host.endswith(OURS) or host in HERE


def named(header: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:  # no name can be written so
        return ""


def flow(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes from one socket to another until it ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:  # either side hung up
        pass
    for side, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            side.shutdown(how)
        except OSError:  # it is gone already
            pass


class Body:
    """The body of a request, of a said length or in chunks.

    Args:
        stream: the connection.
        length: the header; None: none.
        encoding: the header of the transfer.
    """

    def __init__(self, stream: Readable, length: str | None, encoding: str) -> None:
        self._stream = stream
        self._chunked = "chunked" in encoding.lower()
        self._left = 0 if self._chunked else int(length or 0)
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes, or all that are left."""
        parts: list[bytes] = []
        wanted = size if size >= 0 else sys.maxsize
        while wanted > 0:
            if not self._left and not self._next():
                break
            part = self._stream.read(min(self._left, wanted))
            if not part:
                raise ConnectionResetError("the client hung up within the body of a request")
            self._left -= len(part)
            wanted -= len(part)
            parts.append(part)
            if self._chunked and not self._left:
                self._line()
        return b"".join(parts)

    def finish(self) -> None:
        """Read what nobody has read, so that the next request begins where it should."""
        while self.read(1 << 20):
            pass

    def _next(self) -> bool:
        if not self._chunked or self._ended:
            return False
        self._left = int(self._line().partition(b";")[0] or b"0", 16)
        if not self._left:
            self._ended = True
            while self._line():  # trailers, up to an empty line
                pass
        return bool(self._left)

    def _line(self) -> bytes:
        made = bytearray()
        while not made.endswith(b"\n"):
            byte = self._stream.read(1)
            if not byte:
                raise ConnectionResetError("the client hung up within the body of a request")
            made += byte
        return bytes(made).rstrip(b"\r\n")
