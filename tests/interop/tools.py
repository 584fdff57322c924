"""Command-line clients: curl, nghttp, h2load, openssl."""

import json
import re

from rig import HOST


def url(context, door, path="/"):
    scheme = "http" if door in ("plain", "proxied") else "https"
    return f"{scheme}://{HOST}:{context.ports[door]}{path}"


def curl(context, door, path, *arguments):
    return context.run(
        "curl",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "30",
        "--resolve",
        f"{HOST}:{context.ports[door]}:127.0.0.1",
        "--cacert",
        context.ca,
        *arguments,
        url(context, door, path),
    )


def told(text):
    return json.loads(text[text.index("{") :])


def curl_versions(context):
    for door, arguments, version in [
        ("plain", ["--http1.0"], "1.1"),
        ("plain", ["--http1.1"], "1.1"),
        ("plain", ["--http2-prior-knowledge"], "2"),
        ("tls", ["--http1.1"], "1.1"),
        ("tls", ["--http2"], "2"),
        ("tls", ["--http2", "--tls-max", "1.2"], "2"),
        ("tls", ["--http2", "--tlsv1.3"], "2"),
    ]:
        text = curl(context, door, "/p?q=1", "--write-out", "\n%{http_version} %{http_code}", *arguments)
        assert text.endswith(f"\n{version} 200"), (door, arguments, text)
        answer = told(text.rsplit("\n", 1)[0])
        assert answer["path"] == "/p?q=1", answer
        assert answer["headers"]["x-forwarded-proto"] == ("http" if door == "plain" else "https"), answer
    # Nobody asked for prior knowledge: the upgrade from HTTP/1.1 is not taken, and the request is answered.
    text = curl(context, "plain", "/", "--http2", "--write-out", "\n%{http_version} %{http_code}")
    assert text.endswith("\n1.1 200"), text


def curl_bodies(context):
    upload = context.folder / "upload"
    upload.write_bytes(b"u" * 10_000_000)
    download = context.folder / "download"
    for door in ("plain", "tls"):
        for version in ("--http1.1", "--http2-prior-knowledge" if door == "plain" else "--http2"):
            curl(context, door, "/bytes/10000000", version, "--output", download)
            assert download.stat().st_size == 10_000_000
            for arguments in (
                ["--data-binary", f"@{upload}"],
                ["--upload-file", upload],
                ["--header", "Expect: 100-continue", "--data-binary", f"@{upload}"],
                ["--header", "Transfer-Encoding: chunked", "--data-binary", f"@{upload}"],
            ):
                if version != "--http1.1" and "Transfer-Encoding: chunked" in arguments:
                    continue
                answer = told(curl(context, door, "/", version, *arguments))
                assert answer["body"] == 10_000_000, (door, version, arguments, answer)


def curl_client_certificate(context):
    chain, key = context.gateway.client
    text = curl(context, "mutual", "/", "--cert", chain, "--key", key)
    certificate = told(text)["headers"]["x-forwarded-client-cert"]
    assert 'Subject="CN=client"' in certificate, certificate
    refused = context.run(
        "curl", "--silent", "--resolve", f"{HOST}:{context.ports['mutual']}:127.0.0.1", "--cacert", context.ca,
        "--write-out", "%{http_code}", url(context, "mutual"), check=False,
    )  # fmt: skip
    assert refused.strip().endswith("000"), refused


def curl_proxy_header(context):
    answer = told(curl(context, "proxied", "/", "--haproxy-protocol"))
    assert answer["headers"]["x-forwarded-for"] == "127.0.0.1", answer
    answer = told(curl(context, "proxied", "/", "--haproxy-protocol", "--http2-prior-knowledge"))
    assert answer["headers"]["x-real-ip"] == "127.0.0.1", answer


def curl_coalesces(context):
    """Two hosts on one certificate, one connection: curl sends both over it, and both are answered."""
    port = context.ports["tls"]
    text = context.run(
        "curl", "--silent", "--http2", "--cacert", context.ca,
        "--resolve", f"{HOST}:{port}:127.0.0.1", "--resolve", f"ws.test:{port}:127.0.0.1",
        "--output", "/dev/null", f"https://{HOST}:{port}/",
        "--next", "--silent", "--http2", "--cacert", context.ca,
        "--resolve", f"ws.test:{port}:127.0.0.1",
        "--output", "/dev/null", "--write-out", "%{http_code}", "--connect-to", f"ws.test:{port}:{HOST}:{port}",
        "--insecure", f"https://ws.test:{port}/",
    )  # fmt: skip
    # `ws.test` is no host of this door; its handshake gets the default certificate and a 404.
    assert text.strip() == "404", text


def nghttp(context):
    for door in ("plain", "tls"):
        port = context.ports[door]
        scheme = "http" if door == "plain" else "https"
        text = context.run(
            "nghttp", "--verbose", "--no-verify-peer", "--multiply=20", "--header", f":authority: {HOST}",
            f"{scheme}://127.0.0.1:{port}/bytes/100000", timeout=60,
        )  # fmt: skip
        assert text.count(":status: 200") == 20, text[-3000:]
        assert "error_code=NO_ERROR" in text or "recv GOAWAY" not in text, text[-3000:]
        body = context.folder / "body"
        body.write_bytes(b"b" * 300_000)
        text = context.run(
            "nghttp", "--verbose", "--no-verify-peer", "--data", body, "--trailer", "x-sum: 1",
            "--header", f":authority: {HOST}", f"{scheme}://127.0.0.1:{port}/", timeout=60,
        )  # fmt: skip
        assert '"body": 300000' in text, text[-3000:]


def h2load(context):
    notes = []
    for door in ("plain", "tls"):
        scheme = "http" if door == "plain" else "https"
        # Forty requests at once are what the backend, a server for tests, can take.
        text = context.run(
            "h2load", "--requests=4000", "--clients=4", "--max-concurrent-streams=10",
            "--header", f":authority: {HOST}", f"{scheme}://127.0.0.1:{context.ports[door]}/bytes/1000", timeout=120,
        )  # fmt: skip
        assert "4000 succeeded, 0 failed, 0 errored, 0 timeout" in text, text
        assert "4000 2xx" in text, text
        notes.append(re.search(r"finished in .*?, ([\d.]+ req/s)", text).group(1))
    return ", ".join(notes)


def s_client(context, *arguments, door="tls", name=HOST, given=b""):
    server_name = ["-servername", name] if name else ["-noservername"]
    text = context.run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{context.ports[door]}", *server_name,
        "-CAfile", context.ca, *arguments, check=False, timeout=30, stdin=None, input=given,
    )  # fmt: skip
    return text


def openssl(context):
    for arguments, expected in [
        (["-tls1_2"], "Protocol  : TLSv1.2"),
        (["-tls1_3"], "TLSv1.3"),
        (["-alpn", "h2,http/1.1"], "ALPN protocol: h2"),
        (["-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
        (["-verify_hostname", HOST, "-verify_return_error"], "Verification: OK"),
        (["-groups", "X25519"], "X25519"),
        (["-groups", "P-256"], "Verification: OK"),
    ]:
        text = s_client(context, *arguments)
        assert expected in text, (arguments, text)
    text = s_client(context, "-quiet", "-ign_eof", given=f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
    assert " 200 OK" in text, text
    for arguments in (["-tls1_1"], ["-tls1"], ["-tls1_2", "-cipher", "AES128-SHA"], ["-tls1_2", "-cipher", "NULL,aNULL"]):
        text = s_client(context, *arguments)
        assert "Verification: OK" not in text or "Cipher is (NONE)" in text, (arguments, text)
    # The default certificate is not the authority's.
    assert "Verification: OK" not in s_client(context, name=None)
    assert "Verification: OK" not in s_client(context, name="nowhere.test")


def openssl_resumes(context):
    for version in ("-tls1_2", "-tls1_3"):
        session = context.folder / f"session{version}"
        request = f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode()
        s_client(context, version, "-sess_out", session, "-ign_eof", given=request)
        again = s_client(context, version, "-sess_in", session, "-ign_eof", given=request)
        assert "Reused, " in again, (version, again)
        elsewhere = s_client(context, version, "-sess_in", session, door="mutual")
        assert "Reused, " not in elsewhere, (version, elsewhere)


CHECKS = [
    ("curl: versions", curl_versions),
    ("curl: bodies both ways", curl_bodies),
    ("curl: client certificate", curl_client_certificate),
    ("curl: PROXY header", curl_proxy_header),
    ("curl: another host", curl_coalesces),
    ("nghttp", nghttp),
    ("h2load", h2load),
    ("openssl s_client", openssl),
    ("openssl s_client: sessions", openssl_resumes),
]
