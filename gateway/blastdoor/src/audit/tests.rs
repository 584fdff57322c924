use super::*;
use crate::world::World;

const CONFIG: &str = "\
[source]
kind = \"files\"
path = \".\"
allow_loopback_backends = true
[listeners.in-http]
bind = \"127.0.0.1:0\"
selector = \"expose=in-http\"
scheme = \"http\"
redirect = \"in-https\"
[listeners.in-https]
bind = \"127.0.0.1:0\"
selector = \"expose=in-https\"
scheme = \"https\"
[listeners.in-https.tls]
certificates = \"ingress\"
default_certificate = \"self-signed\"
[listeners.out]
bind = \"127.0.0.1:0\"
selector = \"expose=out\"
scheme = \"http\"
";

const OBJECTS: &str = "\
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { ports: [{ name: http, port: 80 }, { name: spare, port: 81 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: shop, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [127.0.0.1] }]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: own, namespace: shop, labels: { expose: in-http } }
spec:
  rules:
    - host: a.test
      http: { paths: [{ path: /own, pathType: Exact, backend: { service: { name: web, port: { number: 80 } } } }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: web, namespace: shop, labels: { expose: in-https } }
spec:
  defaultBackend: { service: { name: web, port: { number: 81 } } }
  rules:
    - host: a.test
      http: { paths: [{ path: /own, pathType: Exact, backend: { service: { name: web, port: { name: http } } } }] }
    - host: '*.b.test'
      http: { paths: [{ path: /x/, pathType: ImplementationSpecific, backend: { service: { name: web, port: { name: htp } } } }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: passed
  namespace: shop
  labels: { expose: in-https }
  annotations: { nginx.ingress.kubernetes.io/ssl-passthrough: 'true' }
spec:
  rules:
    - host: p.test
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: main, namespace: shop, labels: { expose: out }, creationTimestamp: '2020-01-01T00:00:00Z' }
spec:
  rules:
    - http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: canary
  namespace: shop
  labels: { expose: out }
  annotations: { nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '10' }
spec:
  rules:
    - http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 81 } } } }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: rest, namespace: shop, labels: { expose: out } }
spec: { defaultBackend: { service: { name: gone, port: { number: 80 } } } }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: secure
  namespace: shop
  labels: { expose: out }
  annotations: { nginx.ingress.kubernetes.io/ssl-redirect: 'true' }
spec:
  rules:
    - host: s.test
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }] }
";

/// What is audited of these objects.
fn audited(objects: &str) -> Audit {
    audited_with(CONFIG, objects)
}

fn audited_with(config: &str, objects: &str) -> Audit {
    audit(&World::of_files(config, objects).shown())
}

fn lines(audit: &Audit) -> Vec<String> {
    let line = |row: &AuditRow| {
        let port = row.port_text().unwrap_or_else(|| "-".to_owned());
        let service = row.service.as_deref().unwrap_or("-");
        let ingress = row.ingress.as_deref().unwrap_or("-");
        format!(
            "{} {} {} {} {ingress} {service} {port} {}{}",
            row.listener,
            row.host,
            row.path,
            row.path_type,
            row.state,
            if row.canary { " canary" } else { "" }
        )
    };
    audit.routes.iter().map(line).collect()
}

/// DNS is not asked where nothing is served, so that a name counts as what it is for the gateway that serves.
#[test]
fn names_in_dns_have_endpoints_until_somebody_asks() {
    let config = CONFIG.replacen("[source]\n", "[source]\nallow_external_names = true\n", 1);
    let objects = "\
apiVersion: v1
kind: Service
metadata: { name: far, namespace: shop }
spec: { type: ExternalName, externalName: api.example.com, ports: [{ port: 80 }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: far, namespace: shop, labels: { expose: out } }
spec:
  rules:
    - host: far.test
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: far, port: { number: 80 } } } }] }
";
    assert_eq!(
        lines(&audited_with(&config, objects)),
        ["out far.test / Prefix shop/far shop/far 80 ready"]
    );
    let refused = lines(&audited(objects));
    assert!(
        matches!(&*refused, [line] if line.ends_with(" blocked")),
        "{refused:?}"
    );
}

#[test]
fn everything_that_is_reachable_shows() {
    let expected = [
        "in-http *.b.test / Default shop/web shop/web 81 redirect",
        "in-http *.b.test /x/ ImplementationSpecific shop/web shop/web htp redirect",
        "in-http a.test / Default shop/web shop/web 81 redirect",
        // Its own rule, not its sibling's.
        "in-http a.test /own Exact shop/own shop/web 80 ready",
        "in-http p.test / Passthrough shop/passed shop/web 80 redirect",
        "in-https *.b.test / Default shop/web shop/web 81 no-endpoints",
        "in-https *.b.test /x/ ImplementationSpecific shop/web shop/web htp blocked",
        "in-https a.test / Default shop/web shop/web 81 no-endpoints",
        "in-https a.test /own Exact shop/web shop/web 80 ready",
        "in-https p.test / Passthrough shop/passed shop/web 80 ready",
        "out * / Default shop/rest shop/gone 80 blocked",
        "out * / Prefix shop/main shop/web 80 ready",
        "out * / Prefix shop/canary shop/web 81 no-endpoints canary",
        "out s.test / Prefix shop/secure shop/web 80 redirect",
    ];
    assert_eq!(lines(&audited(OBJECTS)), expected);
}

#[test]
fn an_audit_survives_its_file() {
    let audit = audited(OBJECTS);
    let text = serde_json::to_string(&audit).unwrap();
    assert_eq!(serde_json::from_str::<Audit>(&text).unwrap(), audit);
    let first: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut fields: Vec<&String> = first["routes"][3].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "host",
            "ingress",
            "listener",
            "path",
            "path_type",
            "port",
            "service",
            "state"
        ]
    );
}

#[test]
fn changes_are_told_apart() {
    let before = audited(OBJECTS);
    assert!(Difference::between(&before, &before).is_empty());
    let after = OBJECTS.replace("host: s.test", "host: new.test").replace(
        "path: /own, pathType: Exact, backend: { service: { name: web, port: { number: 80 } }",
        "path: /own, pathType: Exact, backend: { service: { name: web, port: { number: 81 } }",
    );
    let told = Difference::between(&before, &audited(&after)).to_string();
    let expected = "\
+ out  new.test/ (Prefix)  shop/secure -> shop/web:80 redirect
- out  s.test/ (Prefix)  shop/secure -> shop/web:80 redirect
~ in-http  a.test/own (Exact)  shop/own -> shop/web:80 ready  =>  shop/own -> shop/web:81 no-endpoints
1 appeared, 1 went, 1 changed";
    assert_eq!(told, expected);
}
