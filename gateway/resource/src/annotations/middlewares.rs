//! Traefik's middlewares, by name.

use route::ObjectKey;

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, Written, local};
use crate::filter_spec::NamedMiddleware;
use crate::problem::Severity;

pub(super) const SUBJECT: Subject = Subject {
    title: "Middlewares",
    ingress: &[
        honoured(
            "blastdoor.dev/middlewares",
            "the Middlewares of its namespace with these names, in this order; see [their reference](reference-middlewares.md)",
            &Setting {
                value: &LOCAL_NAMES,
                default: "none",
                stake: Stake::Protection,
                put: name,
            },
        ),
        honoured(
            "traefik.ingress.kubernetes.io/router.middlewares",
            "these Middlewares, in this order; see [their reference](reference-middlewares.md)",
            &Setting {
                value: &TRAEFIK_NAMES,
                default: "none",
                stake: Stake::Protection,
                put: name,
            },
        ),
    ],
    service: &[],
    review: None,
};

/// Names in the namespace of the Ingress.
const LOCAL_NAMES: Form<Vec<ObjectKey>> = Form {
    name: "names, separated by commas",
    parse: |written| {
        each(written, |name| {
            local(name, written.namespace)
                .ok_or_else(|| format!("`{name}` is not the name of a Middleware in this namespace"))
        })
    },
};

/// Names as Traefik's provider makes them.
const TRAEFIK_NAMES: Form<Vec<ObjectKey>> = Form {
    name: "`NAMESPACE-NAME@kubernetescrd`, separated by commas",
    parse: |written| each(written, |name| of_provider(name, written.namespace)),
};

fn each(
    written: &Written<'_, '_>,
    read: impl Fn(&str) -> Result<ObjectKey, String>,
) -> Result<Vec<ObjectKey>, String> {
    let names = written.value.split(',').map(str::trim);
    names
        .map(|name| {
            if name.is_empty() {
                Err("a name is empty; remove the comma, or the annotation".to_owned())
            } else {
                read(name)
            }
        })
        .collect()
}

fn of_provider(written: &str, namespace: &str) -> Result<ObjectKey, String> {
    let expected = format!("write `{namespace}-NAME@kubernetescrd`");
    let Some((name, provider)) = written.split_once('@') else {
        return Err(format!("`{written}` names no provider; {expected}"));
    };
    if provider != "kubernetescrd" {
        return Err(format!(
            "`{written}` is a middleware of provider `{provider}`; only Middleware objects are used; {expected}"
        ));
    }
    let own = name
        .strip_prefix(namespace)
        .and_then(|rest| rest.strip_prefix('-'));
    let Some(own) = own else {
        return Err(format!(
            "`{written}` is not a Middleware of namespace `{namespace}`; only those of the Ingress's own namespace are \
             used; {expected}"
        ));
    };
    local(own, namespace).ok_or_else(|| format!("`{own}` is not the name of a Middleware; {expected}"))
}

/// Both annotations count; what both name runs once.
fn name(parsed: &mut Annotations, keys: Vec<ObjectKey>, written: &mut Written<'_, '_>) {
    let before = parsed.middlewares.len();
    for key in keys {
        let (earlier, own) = parsed.middlewares.split_at(before);
        if own.iter().any(|named| named.key == key) {
            let message = format!("`{}` is named twice, and runs twice", key.name());
            written.report(Severity::Warning, message);
        } else if earlier.iter().any(|named| named.key == key) {
            let message = format!(
                "`{}` is named by another annotation too; it runs once",
                key.name()
            );
            written.report(Severity::Note, message);
            continue;
        }
        parsed.middlewares.push(NamedMiddleware {
            key,
            field: written.field().into(),
        });
    }
}
