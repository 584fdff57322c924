"""Python clients: h2, httpx, websockets, grpcio."""

import asyncio
import socket
import ssl

import grpc
import h2.config
import h2.connection
import h2.events
import httpx
import websockets.asyncio.client

from rig import HOST


def trusting(context, protocols):
    settings = ssl.create_default_context(cafile=str(context.ca))
    settings.set_alpn_protocols(protocols)
    return settings


class Connection:
    """One connection of hyper-h2."""

    def __init__(self, context, door):
        stream = socket.create_connection(("127.0.0.1", context.ports[door]), timeout=20)
        if door == "tls":
            stream = trusting(context, ["h2"]).wrap_socket(stream, server_hostname=HOST)
            assert stream.selected_alpn_protocol() == "h2"
        self.stream, self.scheme = stream, "https" if door == "tls" else "http"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.stream.sendall(self.h2.data_to_send())

    def head(self, method, path, *more):
        return [
            (":method", method),
            (":scheme", self.scheme),
            (":authority", HOST),
            (":path", path),
            *more,
        ]

    def events(self, stream):
        """What happens on a stream, to its end."""
        while True:
            received = self.stream.recv(65536)
            assert received, "the connection was closed"
            for event in self.h2.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if getattr(event, "stream_id", stream) == stream:
                    yield event
                    if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                        self.flush()
                        return
            self.flush()


def hyper_h2(context):
    for door in ("plain", "tls"):
        connection = Connection(context, door)
        for size in (0, 10, 100_000):
            stream = connection.h2.get_next_available_stream_id()
            connection.h2.send_headers(stream, connection.head("GET", f"/bytes/{size}"), end_stream=True)
            connection.flush()
            events = list(connection.events(stream))
            assert dict(events_of(events, h2.events.ResponseReceived)[0].headers)[":status"] == "200"
            assert sum(len(event.data) for event in events_of(events, h2.events.DataReceived)) == size
        stream = connection.h2.get_next_available_stream_id()
        connection.h2.send_headers(stream, connection.head("POST", "/", ("te", "trailers")))
        for _ in range(3):
            connection.h2.send_data(stream, b"d" * 10_000)
        connection.h2.send_headers(stream, [("x-sum", "1")], end_stream=True)
        connection.flush()
        events = list(connection.events(stream))
        body = b"".join(event.data for event in events_of(events, h2.events.DataReceived))
        assert b'"body": 30000' in body, body


def events_of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def hyper_h2_websocket(context):
    """Extended CONNECT (RFC 8441), and one message each way."""
    connection = Connection(context, "tls")
    stream = connection.h2.get_next_available_stream_id()
    head = connection.head("CONNECT", "/ws", ("sec-websocket-version", "13"))
    head.insert(1, (":protocol", "websocket"))
    connection.h2.send_headers(stream, head)
    # A masked text message (RFC 6455 5.7).
    connection.h2.send_data(stream, bytes([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]))
    connection.flush()
    received = b""
    for event in connection.events(stream):
        if isinstance(event, h2.events.ResponseReceived):
            assert dict(event.headers)[":status"] == "200", event
        if isinstance(event, h2.events.DataReceived):
            received += event.data
            if len(received) >= 7:
                break
    assert received == b"\x81\x05Hello", received


def httpx_client(context):
    async def fetch(door, http2):
        verify = ssl.create_default_context(cafile=str(context.ca))
        scheme = "https" if door == "tls" else "http"
        # httpx resolves names itself, so the name goes beside the address.
        async with httpx.AsyncClient(http2=http2, http1=not (http2 and door == "plain"), verify=verify) as client:
            async def one(number):
                answer = await client.get(
                    f"{scheme}://127.0.0.1:{context.ports[door]}/bytes/{number * 100}",
                    headers={"Host": HOST},
                    extensions={"sni_hostname": HOST},
                )
                assert answer.status_code == 200, answer
                assert len(answer.content) == number * 100
                return answer.http_version

            versions = set(await asyncio.gather(*(one(number) for number in range(50))))
            assert versions == {"HTTP/2" if http2 else "HTTP/1.1"}, versions
            body = await client.post(
                f"{scheme}://127.0.0.1:{context.ports[door]}/",
                content=b"p" * 2_000_000,
                headers={"Host": HOST},
                extensions={"sni_hostname": HOST},
            )
            assert body.json()["body"] == 2_000_000

    for door in ("plain", "tls"):
        for http2 in (True, False):
            asyncio.run(fetch(door, http2))


def websockets_client(context):
    async def talk(door):
        scheme = "wss" if door == "tls" else "ws"
        settings = {"ssl": trusting(context, ["http/1.1"]), "server_hostname": HOST} if door == "tls" else {}
        port = context.ports[door]
        async with websockets.asyncio.client.connect(
            f"{scheme}://{HOST}:{port}/ws", host="127.0.0.1", port=port, max_size=None, proxy=None, **settings
        ) as client:
            for message in ("", "text", "w" * 1_000_000, b"\x00\xff" * 1000):
                await client.send(message)
                assert await client.recv() == message
            for _ in range(3):
                await (await client.ping())
            await client.send(["in ", "three ", "frames"])
            assert await client.recv() == "in three frames"
        assert client.close_code == 1000, client.close_code

    for door in ("plain", "tls"):
        asyncio.run(talk(door))


def channel(context, door, authority="grpc.test"):
    options = [
        ("grpc.default_authority", authority),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),
    ]
    target = f"127.0.0.1:{context.ports[door]}"
    if door == "plain":
        return grpc.insecure_channel(target, options)
    options.append(("grpc.ssl_target_name_override", authority))
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(context.ca.read_bytes()), options)


def grpc_calls(context):
    for door in ("plain", "tls"):
        with channel(context, door) as stub:
            unary = stub.unary_unary("/test.S/Unary")
            for size in (0, 1, 100_000, 5_000_000):
                answer, call = unary.with_call(b"g" * size, timeout=30, metadata=[("x-client", "told")])
                assert answer == b"g" * size
                assert ("x-initial", "first") in call.initial_metadata()
                trailing = dict(call.trailing_metadata())
                assert trailing["x-trailing-bin"] == b"\x00\xff" and trailing["x-peer-metadata"] == "told", trailing
            upload = stub.stream_unary("/test.S/Upload")
            assert upload(iter([b"u" * 1000] * 1000), timeout=30) == b"1000000"
            download = stub.unary_stream("/test.S/Download")
            assert list(download(b"1000", timeout=30))[-1] == b"message 999"
            chat = stub.stream_stream("/test.S/Chat")
            said = [f"line {number}".encode() for number in range(500)]
            assert list(chat(iter(said), timeout=30)) == said
            calls = [unary.future(str(number).encode(), timeout=30) for number in range(300)]
            assert [call.result() for call in calls] == [str(number).encode() for number in range(300)]


def grpc_errors(context):
    for door in ("plain", "tls"):
        with channel(context, door) as stub:
            for method, timeout, code in [
                ("/test.S/Fail", 10, grpc.StatusCode.FAILED_PRECONDITION),
                ("/test.S/Slow", 0.5, grpc.StatusCode.DEADLINE_EXCEEDED),
                ("/test.S/Unknown", 10, grpc.StatusCode.UNIMPLEMENTED),
            ]:
                error = failure(stub.unary_unary(method), timeout)
                assert error.code() == code, (method, error)
                if method == "/test.S/Fail":
                    assert error.details() == "not like this: ü %", error.details()
            slow = stub.unary_unary("/test.S/Slow").future(b"", timeout=30)
            slow.cancel()
            assert slow.cancelled()
            assert stub.unary_unary("/test.S/Unary")(b"after", timeout=10) == b"after"
    with channel(context, "plain", "nowhere.test") as stub:
        error = failure(stub.unary_unary("/test.S/Unary"), 10)
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def failure(call, timeout):
    try:
        call(b"x", timeout=timeout)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


CHECKS = [
    ("Python h2", hyper_h2),
    ("Python h2: WebSocket over a stream", hyper_h2_websocket),
    ("httpx", httpx_client),
    ("websockets", websockets_client),
    ("grpcio: unary and streaming", grpc_calls),
    ("grpcio: errors, deadlines, cancels", grpc_errors),
]
