"""Stock servers behind the gateway: Python's own HTTP server, websockets, grpcio."""

import asyncio
import concurrent.futures
import http.server
import json
import logging
import pathlib
import threading
import time

import grpc
import websockets.asyncio.server

# A client that leaves early is part of some checks.
logging.getLogger("websockets").setLevel(logging.CRITICAL)

PAGE = pathlib.Path(__file__).with_name("page.html")


class Web(http.server.BaseHTTPRequestHandler):
    """Tells what it was asked; `/bytes/N` is N bytes, `/page` a page for a browser, `/events` an event stream."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    reports = []

    def do_GET(self):
        body = self._body()
        if self.path == "/report":
            Web.reports.append(json.loads(body))
            return self._answer(b"", "text/plain")
        if self.path == "/page":
            return self._answer(PAGE.read_bytes(), "text/html")
        if self.path == "/events":
            return self._events()
        if self.path.startswith("/bytes/"):
            return self._answer(b"x" * int(self.path.rsplit("/", 1)[1]), "application/octet-stream")
        told = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": len(body),
        }
        return self._answer(json.dumps(told).encode(), "application/json")

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def handle_expect_100(self):
        self.send_response_only(100)
        self.end_headers()
        return True

    def _body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(5):
            event = f"data: event {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(0.05)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


class WebServer(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, *_):
        pass


def start_web():
    server = WebServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def start_websocket():
    ready = concurrent.futures.Future()

    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    async def serve():
        server = await websockets.asyncio.server.serve(echo, "127.0.0.1", 0, max_size=None)
        ready.set_result(server.sockets[0].getsockname()[1])
        await asyncio.Future()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    return ready.result(timeout=10)


class Calls(grpc.GenericRpcHandler):
    """The four kinds of calls, with messages that are plain bytes."""

    def service(self, details):
        kinds = {
            "/test.S/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/test.S/Upload": grpc.stream_unary_rpc_method_handler(self.upload),
            "/test.S/Download": grpc.unary_stream_rpc_method_handler(self.download),
            "/test.S/Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "/test.S/Slow": grpc.unary_unary_rpc_method_handler(self.slow),
            "/test.S/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
        }
        return kinds.get(details.method)

    def unary(self, message, context):
        context.send_initial_metadata([("x-initial", "first")])
        context.set_trailing_metadata([("x-trailing-bin", b"\x00\xff"), ("x-peer-metadata", _echoed(context))])
        return message

    def upload(self, messages, context):
        return str(sum(len(message) for message in messages)).encode()

    def download(self, message, context):
        for number in range(int(message)):
            yield f"message {number}".encode()

    def chat(self, messages, context):
        yield from messages

    def slow(self, message, context):
        while context.is_active():
            time.sleep(0.02)
        return message

    def fail(self, message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this: ü %")


def _echoed(context):
    return dict(context.invocation_metadata()).get("x-client", "nothing")


def start_grpc():
    size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=64), options=size)
    server.add_generic_rpc_handlers([Calls()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return port, server
