//! Header fields that are added or changed.

use filter::fields::{FieldEdits, Message};
use route::ObjectKey;

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, closes, honoured, ignored};
use super::value::{Form, SWITCH, local};
use crate::filter_spec::FilterSpec;

pub(super) const SUBJECT: Subject = Subject {
    title: "Header fields",
    ingress: &[
        honoured(
            "blastdoor.dev/request-headers",
            "fields that the backend gets, one `Name: value` a line. They replace the client's, in every spelling, and the \
             gateway's own, but for `X-Blastdoor-Door` and `X-Forwarded-Client-Cert`; a name without a value is removed",
            &Setting {
                value: &REQUEST_FIELDS,
                default: "none",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, edits, written| {
                    parsed
                        .filters
                        .push(written.filter(FilterSpec::RequestFields(edits)));
                },
            },
        )
        .example("X-Team: shop"),
        honoured(
            "blastdoor.dev/response-headers",
            "fields that clients get, one `Name: value` a line. They replace the backend's, in every answer of the route, \
             those of other filters too; a name without a value is removed",
            &Setting {
                value: &RESPONSE_FIELDS,
                default: "none",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, edits, written| {
                    parsed
                        .filters
                        .push(written.filter(FilterSpec::ResponseFields(edits)));
                },
            },
        )
        .example("Cache-Control: no-store"),
        honoured(
            "blastdoor.dev/security-headers",
            "`X-Content-Type-Options: nosniff`, `X-Frame-Options: DENY`, `Referrer-Policy: strict-origin-when-cross-origin`, \
             and at https doors `Strict-Transport-Security: max-age=31536000`; `response-headers` may say otherwise",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Protection,
                put: |parsed, is_on, written| {
                    if is_on {
                        parsed.filters.push(written.filter(FilterSpec::SecurityFields));
                    }
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/custom-headers",
            "fields that clients get: each entry of this ConfigMap replaces the backend's field, and an empty one removes \
             it",
            &Setting {
                value: &QUALIFIED_CONFIG_MAP,
                default: "none",
                stake: Stake::Protection,
                put: |parsed: &mut Annotations, key, written| {
                    parsed
                        .filters
                        .push(written.filter(FilterSpec::ResponseFieldsOf(key)));
                },
            },
        )
        .differs("there is no list of allowed fields: all are but those of a connection and of framing"),
        closes(
            "nginx.ingress.kubernetes.io/proxy-redirect-*",
            "not supported yet",
        ),
        closes("nginx.ingress.kubernetes.io/proxy-cookie-*", "not supported yet"),
        ignored(
            "nginx.ingress.kubernetes.io/connection-proxy-header",
            "the gateway sets hop-by-hop fields itself",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/use-forwarded-headers",
            "a global setting in ingress-nginx; here it is `trusted_proxies` of the door",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/http2-push-preload",
            "no client supports it any more",
        ),
    ],
    service: &[],
    review: None,
};

const REQUEST_FIELDS: Form<FieldEdits> = Form {
    name: "lines of `Name: value`",
    parse: |written| fields(written.value, Message::Request),
};

const RESPONSE_FIELDS: Form<FieldEdits> = Form {
    name: "lines of `Name: value`",
    parse: |written| fields(written.value, Message::Response),
};

fn fields(text: &str, message: Message) -> Result<FieldEdits, String> {
    let edits = FieldEdits::of_lines(text, message).map_err(|error| error.to_string())?;
    if edits.is_empty() {
        return Err("it names no field; write `Name: value`, one field a line".to_owned());
    }
    Ok(edits)
}

/// The namespace must be the Ingress's own: nothing of someone else's is read.
const QUALIFIED_CONFIG_MAP: Form<ObjectKey> = Form {
    name: "`namespace/name` of a ConfigMap",
    parse: |written| {
        let (value, namespace) = (written.value, written.namespace);
        let name = match value.split_once('/') {
            None => value,
            Some((own, name)) if own == namespace => name,
            Some((foreign, _)) => {
                return Err(format!(
                    "the ConfigMap is in namespace `{foreign}`; only ConfigMaps of the Ingress's own namespace \
                     `{namespace}` are read"
                ));
            }
        };
        local(name, namespace).ok_or_else(|| format!("`{value}` is not `namespace/name` of a ConfigMap"))
    },
};
