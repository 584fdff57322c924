//! Names and passwords.
//!
//! In the spelling of ingress-nginx several annotations together ask for them; `review` puts these together.

use std::collections::BTreeMap;

use filter::basic_auth::user_field;
use filter::realm::Realm;

use super::drafts::BasicAuthParts;
use super::parsed::{Annotations, ClosedBy};
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, QUALIFIED_SECRET, SECRET, SWITCH, dialect_of, field};
use crate::filter_spec::{BasicAuthSpec, Dialect, FilterSpec, UsersForm, WrittenFilter};
use crate::reporter::Reporter;

const OWN: &str = "blastdoor.dev/basic-auth";
const NGINX: &str = "nginx.ingress.kubernetes.io/auth-type";
const NGINX_SECRET: &str = "nginx.ingress.kubernetes.io/auth-secret";

/// Options, which mean nothing without the annotations above.
const OWN_OPTIONS: [&str; 3] = [
    "blastdoor.dev/basic-auth-forward",
    "blastdoor.dev/basic-auth-header",
    "blastdoor.dev/basic-auth-realm",
];
const NGINX_OPTIONS: [&str; 3] = [
    NGINX_SECRET,
    "nginx.ingress.kubernetes.io/auth-secret-type",
    "nginx.ingress.kubernetes.io/auth-realm",
];

pub(super) const SUBJECT: Subject = Subject {
    title: "Names and passwords",
    ingress: &[
        honoured(
            OWN,
            "requests need the name and password of a user of this Secret: lines `user:hash` under `auth` or in its only \
             entry, or of type `kubernetes.io/basic-auth`; others are answered 401",
            &Setting {
                value: &SECRET,
                default: "no password is needed",
                stake: Stake::Protection,
                put: |parsed, secret, _| {
                    parsed.basic_auth.own.asked = true;
                    parsed.basic_auth.own.secret = Some(secret);
                },
            },
        ),
        honoured(
            "blastdoor.dev/basic-auth-realm",
            "what clients are shown when they are asked",
            &Setting {
                value: &REALM,
                default: "`Authentication Required`",
                stake: Stake::Reliance,
                put: |parsed, realm, _| parsed.basic_auth.own.settings.realm = realm,
            },
        ),
        honoured(
            "blastdoor.dev/basic-auth-header",
            "a field that tells the backend the name of the user; a client's own is dropped",
            &Setting {
                value: &FIELD,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, name, _| parsed.basic_auth.own.settings.user_field = Some(name),
            },
        ),
        honoured(
            "blastdoor.dev/basic-auth-forward",
            "whether the backend gets `Authorization`",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Protection,
                put: |parsed, forwards, _| parsed.basic_auth.own.settings.forwards = forwards,
            },
        ),
        honoured(
            NGINX,
            "requests need a name and a password; `Authorization` is not passed on. HTTP Digest is not supported yet",
            &Setting {
                value: &TYPE,
                default: "no password is needed",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, (), _| parsed.basic_auth.nginx.asked = true,
            },
        )
        .differs("clients that go on with wrong passwords are answered 429 for a while"),
        honoured(
            NGINX_SECRET,
            "the Secret with the users; in the namespace of the Ingress. Of a user that is listed twice the first line \
             counts; passwords in plain text and hashes of the old `crypt` let nobody in",
            &Setting {
                value: &QUALIFIED_SECRET,
                default: "required",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, secret, _| parsed.basic_auth.nginx.secret = Some(secret),
            },
        )
        .differs("a password in clear text or in the old `crypt` lets nobody in"),
        honoured(
            "nginx.ingress.kubernetes.io/auth-secret-type",
            "`auth-file`: lines `user:hash` under `auth`; `auth-map`: each entry is a user, its content the hash",
            &Setting {
                value: &SECRET_TYPE,
                default: "`auth-file`",
                stake: Stake::Protection,
                put: |parsed, map, _| parsed.basic_auth.nginx.is_map = map,
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/auth-realm",
            "as `basic-auth-realm`",
            &Setting {
                value: &REALM,
                default: "`Authentication Required`",
                stake: Stake::Reliance,
                put: |parsed, realm, _| parsed.basic_auth.nginx.settings.realm = realm,
            },
        ),
    ],
    service: &[],
    review: Some(put_together),
};

const REALM: Form<Realm> = Form {
    name: "text",
    parse: |written| Realm::parse(written.value).map_err(|error| error.to_string()),
};

const FIELD: Form<filter::fields::HeaderName> = Form {
    name: "the name of a header field",
    parse: |written| user_field(written.value).map_err(|error| error.to_string()),
};

const TYPE: Form<()> = Form {
    name: "`basic`",
    parse: |written| match written.value {
        "basic" => Ok(()),
        "digest" => Err(
            "HTTP Digest is not supported yet; write `basic`, and serve the host at a door with TLS"
                .to_owned(),
        ),
        other => Err(format!("`{other}` is not `basic`")),
    },
};

const SECRET_TYPE: Form<bool> = Form {
    name: "`auth-file` or `auth-map`",
    parse: |written| match written.value {
        "auth-file" => Ok(false),
        "auth-map" => Ok(true),
        other => Err(format!("`{other}` is neither `auth-file` nor `auth-map`")),
    },
};

/// One filter of each spelling that asks for it. What is written and cannot ask for it closes the routes: whoever wrote it
/// believes that a password is needed.
fn put_together(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let BasicAuthParts { own, nginx } = std::mem::take(&mut parsed.basic_auth);
    for (main, options, parts) in [(OWN, OWN_OPTIONS, own), (NGINX, NGINX_OPTIONS, nginx)] {
        // What cannot be read closes already.
        if raw.contains_key(main) && !parts.asked {
            continue;
        }
        let missing = if !parts.asked {
            let option = options.into_iter().find(|option| raw.contains_key(*option));
            option.map(|option| (option, format!("it asks for nothing without `{main}`")))
        } else if parts.secret.is_none() && !raw.contains_key(NGINX_SECRET) {
            Some((main, format!("`{NGINX_SECRET}` is missing: nobody could log in")))
        } else {
            None
        };
        if let Some((key, reason)) = missing {
            report.error(&field(key), format!("{reason}; closed (503)"));
            parsed.closes.push(ClosedBy {
                annotation: key.into(),
                reason: reason.into(),
            });
        }
        let (true, Some(secret)) = (parts.asked, parts.secret) else {
            continue;
        };
        let dialect = dialect_of(main);
        parsed.filters.push(WrittenFilter {
            spec: FilterSpec::BasicAuth(Box::new(BasicAuthSpec {
                secret,
                form: match (dialect, parts.is_map) {
                    (Dialect::Own, _) => UsersForm::Any,
                    (_, true) => UsersForm::Map,
                    (_, false) => UsersForm::File,
                },
                settings: parts.settings,
            })),
            dialect,
            field: field(main).into(),
        });
    }
}
