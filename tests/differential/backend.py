"""Backends that tell what they saw, and do what the request asks for.

A backend answers with JSON: its name, method, target, fields and body. The query says how: `status=404`,
`set=Name:value` (a field of the response, several are allowed), `body=text` instead of the JSON. The auth backend does the
same by fields of its request, `X-Do-Status` and `X-Do-Set`, since gateways choose its target themselves; it also returns
what it saw in `X-Auth-Saw`.
"""

import http.server
import json
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "backend"
    sys_version = ""

    def answer(self):
        saw = self.saw()
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query, keep_blank_values=True)
        if self.server.is_auth:
            status = int(self.headers.get("X-Do-Status", "200"))
            fields = [part for part in self.headers.get_all("X-Do-Set", []) if part]
        else:
            # A page of errors is asked for with the query of somebody else's request.
            status = int(query.get("status", ["200"])[-1]) if self.server.obeys else 200
            fields = query.get("set", [])
        body = json.dumps(saw).encode()
        if "body" in query and not self.server.is_auth:
            body = query["body"][-1].encode()
        self.send_response_only(status)
        for field in fields:
            name, _, value = field.partition(":")
            self.send_header(name.strip(), value.strip())
        if self.server.is_auth:
            self.send_header("X-Auth-Saw", json.dumps(saw))
        self.send_header("Content-Type", "application/json")
        has_body = status not in (204, 304) and status >= 200
        if has_body:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body and self.command != "HEAD":
            self.wfile.write(body)

    def saw(self):
        length = self.headers.get("Content-Length")
        body = b""
        if length:
            body = self.rfile.read(int(length))
        elif self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        fields = {}
        for name, value in self.headers.items():
            fields.setdefault(name.lower(), []).append(value)
        return {
            "backend": self.server.name,
            "method": self.command,
            "target": self.path,
            "fields": fields,
            "body": body.decode(errors="replace"),
        }

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, _request, _address):
        """A gateway that gives up its connection is no news."""


def start(name, address, *, is_auth=False, obeys=True):
    """Starts a backend and returns its port."""
    server = Server((address, 0), Handler)
    server.name = name
    server.is_auth = is_auth
    server.obeys = obeys
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
