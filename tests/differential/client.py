"""One request on a connection of its own, over HTTP/1.1 or HTTP/2, in clear text or TLS."""

import dataclasses
import http.client
import socket
import ssl

import h2.config
import h2.connection
import h2.events

PATIENCE = 15


@dataclasses.dataclass
class Request:
    method: str
    target: str
    host: str
    fields: list
    body: bytes = b""
    source: str = "127.0.0.1"
    tls: bool = False


@dataclasses.dataclass
class Response:
    status: int
    fields: list
    body: bytes

    def values(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]


def send(version, address, request):
    """The response; `version` is `h1` or `h2`."""
    sock = socket.create_connection(address, timeout=PATIENCE, source_address=(request.source, 0))
    with sock:
        if request.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["h2" if version == "h2" else "http/1.1"])
            sock = context.wrap_socket(sock, server_hostname=request.host)
        return _h2(sock, request) if version == "h2" else _h1(sock, request)


def _h1(sock, request):
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {request.host}"]
    lines += [f"{name}: {value}" for name, value in request.fields]
    if request.body:
        lines.append(f"Content-Length: {len(request.body)}")
    lines.append("Connection: close")
    sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + request.body)
    response = http.client.HTTPResponse(sock, method=request.method)
    response.begin()
    body = response.read()
    return Response(response.status, list(response.getheaders()), body)


def _h2(sock, request):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    scheme = "https" if request.tls else "http"
    head = [(":method", request.method), (":scheme", scheme), (":authority", request.host), (":path", request.target)]
    head += [(name.lower(), value) for name, value in request.fields]
    if request.body:
        head.append(("content-length", str(len(request.body))))
    connection.send_headers(1, head, end_stream=not request.body)
    if request.body:
        connection.send_data(1, request.body, end_stream=True)
    sock.sendall(connection.data_to_send())
    status, fields, body = None, [], b""
    while True:
        data = sock.recv(65536)
        if not data:
            raise OSError("the connection ended before the response")
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                status = int(dict(event.headers)[":status"])
                fields = [(name, value) for name, value in event.headers if not name.startswith(":")]
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                return Response(status, fields, body)
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise OSError(f"{event}")
        sock.sendall(connection.data_to_send())
