"""The configuration of plain nginx for Ingresses with annotations of ingress-nginx.

It follows the template of the controller directive by directive, as far as nginx without Lua and further modules can
express it: `if` for what the controller redirects in Lua, `map` for its canaries, `add_header … always` for
`more_set_headers`. An annotation that is not here is an error, so that no case compares with something that was dropped.
"""

import base64
import hashlib
import urllib.parse

PREFIX = "nginx.ingress.kubernetes.io/"
DEFAULT_ALLOW_HEADERS = (
    "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"
)


class Unexpressible(Exception):
    """An annotation that plain nginx cannot express."""


class Configuration:
    """Collects servers; `upstreams` are addresses by Service, `targets` are all targets that requests have."""

    def __init__(self, folder, ports, upstreams, configmaps, secrets, targets):
        self.folder, self.ports = folder, ports
        self.upstreams, self.configmaps, self.secrets = upstreams, configmaps, secrets
        self.targets = targets
        self.http, self.servers = [], []

    def text(self, certificate):
        escaped = "\n".join(
            f'    "{target}" "{urllib.parse.quote(target, safe="-_.~")}";' for target in sorted(self.targets)
        )
        upstreams = "\n".join(
            f"  upstream {name} {{ server {address}; }}" for name, address in self.upstreams.items()
        )
        http, servers = "\n".join(self.http), "\n".join(self.servers)
        return f"""
pid {self.folder}/nginx.pid;
daemon off;
worker_processes 1;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {self.folder}/body;
  proxy_temp_path {self.folder}/proxy;
  fastcgi_temp_path {self.folder}/fastcgi;
  uwsgi_temp_path {self.folder}/uwsgi;
  scgi_temp_path {self.folder}/scgi;
  server_names_hash_bucket_size 128;
  variables_hash_max_size 4096;
  map_hash_bucket_size 512;
  proxy_headers_hash_max_size 1024;
  # What the controller sets by default.
  client_max_body_size 1m;
  client_header_buffer_size 1k;
  limit_req_status 503;
  server_tokens off;
  underscores_in_headers off;
  ssl_certificate {certificate[0]};
  ssl_certificate_key {certificate[1]};
  proxy_http_version 1.1;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  # As the module set-misc writes it.
  map $request_uri $escaped_request_uri {{
    default "";
{escaped}
  }}
{upstreams}
{http}
  server {{
    listen 127.0.0.1:{self.ports["h1"]} default_server;
    listen 127.0.0.1:{self.ports["h2"]} http2 default_server;
    listen 127.0.0.1:{self.ports["tls"]} ssl http2 default_server;
    return 404;
  }}
{servers}
}}
"""

    def listen(self):
        ports = self.ports
        return (
            f"listen 127.0.0.1:{ports['h1']}; listen 127.0.0.1:{ports['h2']} http2; "
            f"listen 127.0.0.1:{ports['tls']} ssl http2;"
        )

    def add(self, ingresses):
        """The Ingresses of one case, of which canaries follow their main one."""
        mains = [it for it in ingresses if _annotations(it).get("canary") != "true"]
        canaries = [it for it in ingresses if it not in mains]
        hosts = {}
        for ingress in mains:
            for rule in ingress["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    hosts.setdefault(rule["host"], []).append((ingress, path))
        for host, places in hosts.items():
            self._server(host, places, canaries)

    def _server(self, host, places, canaries):
        enforced = any(
            a.get("use-regex") == "true" or a.get("rewrite-target", path["path"]) != path["path"]
            for a, path in ((_annotations(ingress), path) for ingress, path in places)
        )
        names, lines, outside = [host], [], []
        # As the controller sorts them: nginx takes the first regular expression that matches.
        for ingress, path in sorted(places, key=lambda place: -len(place[1]["path"])):
            known = _Taken(_annotations(ingress))
            names += [alias.strip() for alias in known.pop("server-alias", "").split(",") if alias.strip()]
            if app_root := known.pop("app-root", None):
                lines.append(f"if ($uri = /) {{ return 302 $scheme://$http_host{app_root}; }}")
            if known.pop("from-to-www-redirect", "false") == "true":
                twin = host[4:] if host.startswith("www.") else f"www.{host}"
                self.servers.append(
                    f"  server {{ {self.listen()} server_name {twin}; return 308 $scheme://{host}$request_uri; }}"
                )
            body, around = self._location(host, ingress, path, known, canaries)
            outside += around
            for where in _locations(path, enforced):
                lines.append(f"location {where} {{\n      " + "\n      ".join(body) + "\n    }")
            known.finish()
        body = "\n    ".join(lines + outside)
        self.servers.append(f"  server {{\n    {self.listen()}\n    server_name {' '.join(dict.fromkeys(names))};\n    {body}\n  }}")

    def _location(self, host, ingress, path, known, canaries):
        identity = hashlib.sha256(f"{host}{path['path']}".encode()).hexdigest()[:12]
        service = path["backend"]["service"]["name"]
        port = path["backend"]["service"]["port"].get("number", "")
        lines, around = ["port_in_redirect off;"], []
        if known.pop("force-ssl-redirect", "false") == "true" or known.pop("ssl-redirect", "false") == "true":
            lines.append("if ($scheme = http) { return 308 https://$host$request_uri; }")
        known.pop("ssl-redirect", None)
        if sizes := known.pop("proxy-body-size", None):
            lines.append(f"client_max_body_size {sizes};")
        self._lists(lines, known)
        self._cors(lines, known, identity)
        self._auth_url(lines, around, known, identity)
        self._basic(lines, known, identity, ingress["metadata"]["namespace"])
        self._limits(lines, known, identity)
        for name in ("temporal-redirect", "permanent-redirect"):
            url = known.pop(name, None)
            code = known.pop(f"{name}-code", "302" if name.startswith("temporal") else "301")
            if url and not any(line.startswith("return") for line in lines):
                lines.append(f"return {code} {url};")
        vhost = known.pop("upstream-vhost", None)
        lines += [
            f'proxy_set_header Host {_quoted(vhost) if vhost else "$http_host"};',
            "proxy_set_header Upgrade $http_upgrade;",
            "proxy_set_header Connection $connection_upgrade;",
            "proxy_set_header X-Request-ID $request_id;",
            "proxy_set_header X-Real-IP $remote_addr;",
            "proxy_set_header X-Forwarded-For $remote_addr;",
            "proxy_set_header X-Forwarded-Host $http_host;",
            "proxy_set_header X-Forwarded-Port $server_port;",
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "proxy_set_header X-Forwarded-Scheme $scheme;",
            "proxy_set_header X-Scheme $scheme;",
            "proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;",
            'proxy_set_header Proxy "";',
        ]
        if custom := known.pop("custom-headers", None):
            for name, value in self.configmaps[custom.split("/")[-1]].items():
                lines.append(f"proxy_hide_header {name};")
                lines.append(f"add_header {name} {_quoted(value)} always;")
        if codes := known.pop("custom-http-errors", None):
            self._errors(lines, around, known, identity, codes, ingress, service, port)
        known.pop("default-backend", None)
        upstream = self._canary(host, path, canaries, service, identity)
        target, is_regex = known.pop("rewrite-target", None), known.pop("use-regex", None)
        prefix = known.pop("x-forwarded-prefix", None)
        if target and target != path["path"]:
            if prefix:
                lines.append(f"proxy_set_header X-Forwarded-Prefix {_quoted(prefix)};")
            lines.append(f'rewrite "(?i){path["path"]}" {target} break;')
        lines.append(f"proxy_pass http://{upstream};")
        lines.append("proxy_redirect off;")
        return lines, around

    def _lists(self, lines, known):
        for cidr in _list(known.pop("denylist-source-range", "")):
            lines.append(f"deny {cidr};")
        allowed = _list(known.pop("whitelist-source-range", "") or known.pop("allowlist-source-range", ""))
        known.pop("allowlist-source-range", None)
        for cidr in allowed:
            lines.append(f"allow {cidr};")
        if allowed:
            lines.append("deny all;")
        if satisfy := known.pop("satisfy", None):
            lines.append(f"satisfy {satisfy};")

    def _cors(self, lines, known, identity):
        enabled = known.pop("enable-cors", "false") == "true"
        origin = known.pop("cors-allow-origin", "*")
        methods = known.pop("cors-allow-methods", "GET, PUT, POST, DELETE, PATCH, OPTIONS")
        headers = known.pop("cors-allow-headers", DEFAULT_ALLOW_HEADERS)
        credentials = known.pop("cors-allow-credentials", "true") == "true"
        expose = known.pop("cors-expose-headers", "")
        age = known.pop("cors-max-age", "1728000")
        if not enabled:
            return
        if origin == "*":
            lines.append('set $cors "true"; set $cors_origin "*";')
        else:
            pattern = "|".join(_origin(part) for part in _list(origin))
            lines.append(f'set $cors ""; if ($http_origin ~* "^({pattern})$") {{ set $cors "true"; }}')
            lines.append("set $cors_origin $http_origin;")
        fields = [
            ("Access-Control-Allow-Origin", "$cors_origin"),
            ("Access-Control-Allow-Credentials", "true" if credentials else ""),
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", headers),
            ("Access-Control-Expose-Headers", expose),
        ]
        for index, (name, value) in enumerate(fields):
            lines.append(f'set $cors_{index} ""; if ($cors = "true") {{ set $cors_{index} "{value}"; }}')
            lines.append(f"proxy_hide_header {name}; add_header {name} $cors_{index} always;")
        # What only a preflight carries stands in its own block, with the rest, since blocks do not inherit fields.
        preflight = "".join(f" add_header {name} $cors_{index} always;" for index, (name, _) in enumerate(fields))
        lines.append('if ($request_method = "OPTIONS") { set $cors "${cors}options"; }')
        lines.append(
            f'if ($cors = "trueoptions") {{{preflight} add_header Access-Control-Max-Age {age} always; return 204; }}'
        )

    def _auth_url(self, lines, around, known, identity):
        url = known.pop("auth-url", None)
        method, signin = known.pop("auth-method", None), known.pop("auth-signin", None)
        parameter = known.pop("auth-signin-redirect-param", "rd")
        redirect = known.pop("auth-request-redirect", "$request_uri")
        passed = _list(known.pop("auth-response-headers", ""))
        always = known.pop("auth-always-set-cookie", "false") == "true"
        if not url:
            return
        place = f"/_external-auth-{identity}"
        parts = urllib.parse.urlsplit(url)
        around.append(
            f"""location = {place} {{
      internal;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Forwarded-Proto "";
      proxy_set_header X-Request-ID $request_id;
      {f"proxy_method {method};" if method else ""}
      proxy_set_header Host {parts.hostname};
      proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Sent-From "nginx-ingress-controller";
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Auth-Request-Redirect {redirect};
      proxy_pass_request_headers on;
      set $target {url};
      proxy_pass $target;
    }}"""
        )
        lines.append(f"auth_request {place};")
        lines.append("auth_request_set $auth_cookie $upstream_http_set_cookie;")
        lines.append(f"add_header Set-Cookie $auth_cookie{' always' if always else ''};")
        for index, name in enumerate(passed):
            variable = name.lower().replace("-", "_")
            lines.append(f"auth_request_set $authHeader{index} $upstream_http_{variable};")
            lines.append(f"proxy_set_header '{name}' $authHeader{index};")
        if signin:
            sign = "&" if urllib.parse.urlsplit(signin).query else "?"
            if parameter not in urllib.parse.parse_qs(urllib.parse.urlsplit(signin).query):
                signin = f"{signin}{sign}{parameter}=$scheme://$http_host$escaped_request_uri"
            lines.append(f"error_page 401 = @signin_{identity};")
            around.append(
                f"location @signin_{identity} {{ internal; add_header Set-Cookie $auth_cookie; return 302 {signin}; }}"
            )

    def _basic(self, lines, known, identity, namespace):
        kind, secret = known.pop("auth-type", None), known.pop("auth-secret", None)
        form, realm = known.pop("auth-secret-type", "auth-file"), known.pop("auth-realm", "Authentication Required")
        if not kind:
            return
        if kind != "basic":
            raise Unexpressible(f"auth-type {kind}")
        data = self.secrets[secret.split("/")[-1]]
        if form == "auth-file":
            text = base64.b64decode(data["auth"]).decode()
        else:
            text = "\n".join(f"{user}:{base64.b64decode(value).decode()}" for user, value in data.items())
        file = self.folder / f"{identity}.passwd"
        file.write_text(text + "\n")
        lines.append(f"auth_basic {_quoted(realm)};")
        lines.append(f"auth_basic_user_file {file};")
        lines.append('proxy_set_header Authorization "";')

    def _limits(self, lines, known, identity):
        factor = int(known.pop("limit-burst-multiplier", "5"))
        spared = _list(known.pop("limit-whitelist", ""))
        for name, unit in (("limit-rps", "s"), ("limit-rpm", "m")):
            limit = known.pop(name, None)
            if not limit:
                continue
            zone = f"{identity}_{unit}"
            listed = "".join(f" {cidr} 1;" for cidr in spared)
            self.http.append(f"  geo $spared_{zone} {{ default 0;{listed} }}")
            self.http.append(f'  map $spared_{zone} $limit_{zone} {{ 0 $binary_remote_addr; 1 ""; }}')
            self.http.append(f"  limit_req_zone $limit_{zone} zone={zone}:1m rate={limit}r/{unit};")
            lines.append(f"limit_req zone={zone} burst={int(limit) * factor} nodelay;")

    def _errors(self, lines, around, known, identity, codes, ingress, service, port):
        backend = known.pop("default-backend")
        lines.append("proxy_intercept_errors on;")
        for code in _list(codes):
            lines.append(f"error_page {code} = @custom_{identity}_{code};")
            around.append(
                f"""location @custom_{identity}_{code} {{
      internal;
      proxy_intercept_errors off;
      proxy_set_header X-Code {code};
      proxy_set_header X-Format $http_accept;
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Namespace {ingress["metadata"]["namespace"]};
      proxy_set_header X-Ingress-Name {ingress["metadata"]["name"]};
      proxy_set_header X-Service-Name {service};
      proxy_set_header X-Service-Port {port};
      proxy_set_header X-Request-ID $request_id;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header Host $http_host;
      rewrite (.*) / break;
      proxy_pass http://{backend};
    }}"""
            )

    def _canary(self, host, path, canaries, service, identity):
        """The upstream, or a variable that a chain of maps decides: header, then cookie, then weight."""
        for canary in canaries:
            known = _Taken(_annotations(canary))
            places = [
                it["backend"]["service"]["name"]
                for rule in canary["spec"]["rules"]
                if rule["host"] == host
                for it in rule["http"]["paths"]
                if it["path"] == path["path"]
            ]
            if not places:
                continue
            known.pop("canary")
            other = places[0]
            weight, total = int(known.pop("canary-weight", "0")), int(known.pop("canary-weight-total", "100"))
            if weight not in (0, total):
                raise Unexpressible("a weight that is neither none nor all")
            decided = other if weight else service
            if cookie := known.pop("canary-by-cookie", None):
                self.http.append(
                    f"  map $cookie_{cookie} $by_cookie_{identity} "
                    f"{{ always {other}; never {service}; default {decided}; }}"
                )
                decided = f"$by_cookie_{identity}"
            if header := known.pop("canary-by-header", None):
                variable = header.lower().replace("-", "_")
                value, pattern = known.pop("canary-by-header-value", None), known.pop("canary-by-header-pattern", None)
                if value:
                    choices = f'"{value}" {other};'
                elif pattern:
                    choices = f'"~{pattern}" {other};'
                else:
                    choices = f"always {other}; never {service};"
                self.http.append(
                    f"  map $http_{variable} $by_header_{identity} {{ {choices} default {decided}; }}"
                )
                decided = f"$by_header_{identity}"
            known.finish()
            return decided
        return service


class _Taken(dict):
    """Annotations, of which none may be left over."""

    def finish(self):
        if self:
            raise Unexpressible(", ".join(self))


def _annotations(ingress):
    found = ingress["metadata"].get("annotations", {})
    return {key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)}


def _locations(path, enforced):
    """Where the controller puts a path."""
    text, kind = path["path"], path["pathType"]
    if enforced:
        return [f'~* "^{text}"']
    if kind == "Exact":
        return [f"= {text}"]
    if kind == "Prefix" and text != "/":
        return [f"{text.rstrip('/')}/", f"= {text}"]
    return [text]


def _origin(text):
    scheme, _, rest = text.partition("://")
    if rest.startswith("*."):
        return f"{scheme}://[A-Za-z0-9-]+\\.{rest[2:].replace('.', chr(92) + '.')}"
    return text.replace(".", "\\.")


def _list(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def _quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
