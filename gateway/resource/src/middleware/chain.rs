//! Several Middlewares in the place of one.

use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Objects, Text};
use super::row::{FieldRow, KindEffect, KindRow, field};

pub(super) const CHAIN: KindRow = KindRow {
    name: "chain",
    meaning: "other Middlewares, in its place and in this order; chains of chains up to 8 deep, and 64 Middlewares in all",
    fields: &[field(
        "middlewares",
        Objects(REFERENCE),
        "required",
        "the Middlewares",
    )],
    example: "\
chain:
  middlewares:
    - name: limit
    - name: staff
",
    effect: KindEffect::Honoured(chain),
};

const REFERENCE: &[FieldRow] = &[
    field("name", Text, "required", "its name").differs("`name@provider` closes"),
    field("namespace", Text, "that of the chain", "its namespace")
        .differs("another namespace than that of the chain closes"),
];

/// As many as an Ingress may have in all.
const MOST: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Chain {
    middlewares: Vec<Reference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Reference {
    name: String,
    namespace: Option<String>,
}

fn chain(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: Chain = reading.raw(content)?;
    if raw.middlewares.is_empty() {
        return Err(reading.refuse("middlewares", "it names no Middleware; write `- name: …`"));
    }
    if raw.middlewares.len() > MOST {
        let reason = format!(
            "it names {} Middlewares; at most {MOST} are followed",
            raw.middlewares.len()
        );
        return Err(reading.refuse("middlewares", reason));
    }
    let mut keys = Vec::with_capacity(raw.middlewares.len());
    for (index, Reference { name, namespace }) in raw.middlewares.into_iter().enumerate() {
        let at = format!("middlewares[{index}]");
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        if let Some(namespace) = namespace.filter(|namespace| *namespace != reading.namespace()) {
            let reason = format!(
                "`{name}` is of namespace `{namespace}`; only Middlewares of the chain's own namespace are used; \
                 write one there"
            );
            return Err(reading.refuse(&format!("{at}.namespace"), reason));
        }
        if name.contains('@') {
            let reason =
                format!("`{name}` names a provider; only Middleware objects are used; write its name alone");
            return Err(reading.refuse(&format!("{at}.name"), reason));
        }
        keys.push(reading.local(&format!("{at}.name"), &name)?);
    }
    Ok(MiddlewareKind::Chain(keys.into()))
}
