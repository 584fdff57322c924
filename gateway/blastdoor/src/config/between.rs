//! What only shows when doors are looked at together, or with the source.

use std::collections::BTreeMap;
use std::sync::Arc;

use control::cluster::{Publish, SecretScope};
use door::{CaSource, ClientAuth, DefaultCertificate, Scheme};
use route::ListenerName;

use super::diagnostics::Diagnostics;
use super::model::{DoorConfig, Source, SourceKind};
use super::raw::RawListener;

/// What only shows when doors are looked at together with the source.
pub(super) fn doors_and_source(
    diagnostics: &mut Diagnostics<'_>,
    doors: &[Arc<DoorConfig>],
    source: &Source,
    written: &BTreeMap<String, RawListener>,
) {
    let is_files = matches!(source.kind, SourceKind::Files(_));
    let mut policies = doors.iter().map(|door| &door.policy.filters);
    let looks_up = source.external_names.is_some() || policies.any(|filters| filters.calls_names());
    if !source.resolvers.is_empty() && !looks_up {
        let message = "has no effect without allow_external_names = true, or a name in `call` of a door's filters: no name \
                       is looked up";
        diagnostics.warn("source.resolvers", message);
    }
    for door in doors {
        let key = format!("listeners.{}", door.name);
        if is_files && door.publish != Publish::Nothing {
            let message = "has no effect: objects from files have no status";
            diagnostics.warn(&format!("{key}.publish"), message);
        }
        let Some(tls) = &door.policy.tls else { continue };
        if is_files || source.secrets != SecretScope::None {
            continue;
        }
        let asked = written
            .get(door.name.as_str())
            .and_then(|raw| raw.tls.as_ref()?.certificates.as_ref())
            .is_some();
        if asked || matches!(tls.default_certificate, DefaultCertificate::None) {
            diagnostics.error_between(
                &format!("{key}.tls.certificates"),
                &["source.secrets"],
                "certificates come from Secrets, and source.secrets = \"none\" forbids to read any; set it to \
                 auto, named or cluster, or give the door a default_certificate of files and leave `certificates` out"
                    .to_owned(),
            );
        }
        let own = match &tls.client_auth {
            ClientAuth::Optional(CaSource::Secret(secret))
            | ClientAuth::Required(CaSource::Secret(secret)) => Some(("client_auth.ca", secret)),
            ClientAuth::Off | ClientAuth::Optional(_) | ClientAuth::Required(_) => None,
        };
        let default = match &tls.default_certificate {
            DefaultCertificate::Secret(secret) => Some(("default_certificate", secret)),
            DefaultCertificate::None | DefaultCertificate::SelfSigned | DefaultCertificate::Given(_) => None,
        };
        for (part, secret) in default.into_iter().chain(own) {
            diagnostics.error(
                &format!("{key}.tls.{part}"),
                format!(
                    "is in Secret `{secret}`, and source.secrets = \"none\" forbids to read any; set it to auto, \
                     named or cluster, or write files here"
                ),
            );
        }
    }
}

/// The key that says which Ingresses are meant for a door.
fn membership_key(door: &DoorConfig) -> String {
    let key = if door.policy.selectors.is_empty() {
        "classes"
    } else {
        "selector"
    };
    format!("listeners.{}.{key}", door.name)
}

/// What only shows when doors are looked at together.
pub(super) fn doors(
    diagnostics: &mut Diagnostics<'_>,
    doors: &[Arc<DoorConfig>],
    overlaps: &BTreeMap<ListenerName, bool>,
) {
    for (index, door) in doors.iter().enumerate() {
        let key = format!("listeners.{}", door.name);
        for other in doors.iter().skip(index + 1) {
            let both_allow = [door, other]
                .iter()
                .all(|one| overlaps.get(&one.name) == Some(&true));
            if !both_allow && door.policy.may_overlap(&other.policy) {
                diagnostics.error_between(
                    &membership_key(door),
                    &[&membership_key(other)],
                    format!(
                        "`{}` and door `{}`'s `{}` can admit the same Ingress; make them exclude each other, or set overlap = true on both",
                        door.policy.membership(),
                        other.name,
                        other.policy.membership()
                    ),
                );
            }
        }
        let Some(target) = &door.policy.redirect else {
            continue;
        };
        let key = format!("{key}.redirect");
        match doors.iter().find(|other| other.name == *target) {
            _ if *target == door.name => {
                diagnostics.error(
                    &key,
                    format!("a door cannot redirect to itself, and `{target}` is its name"),
                );
            }
            None => {
                let names = doors
                    .iter()
                    .map(|door| door.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ");
                diagnostics.error(&key, format!("no door `{target}` is declared; allowed: {names}"));
            }
            Some(other) if other.policy.scheme != Scheme::Https => {
                diagnostics.error_between(
                    &key,
                    &[&format!("listeners.{target}.scheme")],
                    format!("door `{target}` has scheme `http`; redirect to a door with scheme = \"https\""),
                );
            }
            Some(_) => {}
        }
    }
}
