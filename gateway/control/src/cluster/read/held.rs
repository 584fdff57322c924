//! Ingresses and Middlewares that name an object which has not been read yet.
//!
//! A certificate and the routes that it belongs to should go live together, and so should a password and the Middleware that
//! asks for it, so such an object stays as it was sent last until the object has been read, though not for long. Everything else is sent meanwhile: who keeps naming new objects
//! delays nobody but himself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use resource::{ClusterView, Kind, ObjectRef};
use tokio::time::Instant;

use crate::cluster::door_view::DoorView;

/// An object that has just been named is waited for, but not longer.
pub(super) const NAMED_WAIT: Duration = Duration::from_secs(1);

/// What was sent last, and which Ingresses and Middlewares are held back.
#[derive(Debug, Default)]
pub(super) struct HeldObjects {
    sent: ClusterView,
    /// Since when.
    since: BTreeMap<ObjectRef, Instant>,
}

impl HeldObjects {
    /// Puts back, in what is about to be sent, the Ingresses and Middlewares that name an object that `waits` to be read, if
    /// there may be any. Returns when the first of them is waited for no longer.
    pub(super) fn hold_back(
        &mut self,
        view: &mut ClusterView,
        waits: Option<&dyn Fn(&ObjectRef) -> bool>,
        doors: &dyn DoorView,
    ) -> Option<Instant> {
        let Some(waits) = waits else {
            self.since.clear();
            self.sent = view.clone();
            return None;
        };
        let now = Instant::now();
        let mut since = BTreeMap::new();
        let changed = view.difference(&self.sent);
        // Of a new Middleware nothing is known yet: the Ingress that names it is held.
        let middlewares = changed.objects.into_iter();
        let middlewares = middlewares.filter(|object| object.kind == Kind::Middleware);
        let middlewares = middlewares.filter(|object| self.sent.object(object).is_some());
        let ingresses = changed.ingresses.iter();
        let ingresses = ingresses.map(|key| ObjectRef::namespaced(Kind::Ingress, key));
        for object in middlewares.chain(ingresses).collect::<Vec<_>>() {
            if !named(&object, view, doors).iter().any(waits) {
                continue;
            }
            let begun = self.since.get(&object).copied().unwrap_or(now);
            if begun + NAMED_WAIT > now {
                self.put_back(&object, view, doors);
                since.insert(object, begun);
            }
        }
        self.since = since;
        self.sent = view.clone();
        let ends = self.since.values().map(|begun| *begun + NAMED_WAIT);
        ends.min()
    }

    /// Puts an Ingress or a Middleware back, with what it names and nothing else names any more.
    fn put_back(&self, reference: &ObjectRef, view: &mut ClusterView, doors: &dyn DoorView) {
        let Some(before) = self.sent.object(reference) else {
            view.remove(reference);
            return;
        };
        let named = named(reference, &self.sent, doors);
        let missing = named.iter().filter(|named| view.object(named).is_none());
        for object in missing
            .filter_map(|named| self.sent.object(named))
            .collect::<Vec<_>>()
        {
            view.insert(object);
        }
        view.insert(before);
    }
}

/// What an object of a view names, itself and through Middlewares.
fn named(object: &ObjectRef, view: &ClusterView, doors: &dyn DoorView) -> BTreeSet<ObjectRef> {
    let (mut all, mut unseen) = (BTreeSet::new(), vec![object.clone()]);
    while let Some(object) = unseen.pop() {
        let Some(object) = view.object(&object) else {
            continue;
        };
        for named in doors.objects_of(&object) {
            if all.insert(named.clone()) && named.kind == Kind::Middleware {
                unseen.push(named);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use resource::manifest;
    use route::ObjectKey;

    use super::*;
    use crate::cluster::scripted::WithCertificates;

    fn insert(view: &mut ClusterView, yaml: &str) {
        for placed in manifest::parse("x.yaml", yaml.as_bytes()).objects {
            view.insert(placed.object);
        }
    }

    fn ingress(name: &str, secret: &str) -> String {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             tls: [{{hosts: [{name}.test], secretName: {secret}}}]\n  rules: [{{host: {name}.test}}]\n"
        )
    }

    fn secret(name: &str) -> ObjectRef {
        ObjectRef::namespaced(Kind::Secret, &ObjectKey::new("shop", name))
    }

    /// What each Ingress names in a view, and which Secrets are there.
    fn shown(view: &ClusterView) -> Vec<String> {
        let named = view.ingresses().map(|ingress| {
            let secret = ingress.tls[0].secret.as_ref().unwrap();
            format!("{} names {}", ingress.key.name(), secret.name())
        });
        named
            .chain(view.secrets().map(|secret| secret.key.name().to_owned()))
            .collect()
    }

    /// One Ingress names another new Secret ten times a second. Changes of others are sent at once, and the Ingress itself
    /// stays as it was, with its Secret, for a second at most.
    #[tokio::test(start_paused = true)]
    async fn naming_new_objects_delays_nobody_else() {
        let (mut held, doors) = (HeldObjects::default(), WithCertificates::default());
        let mut view = ClusterView::default();
        insert(&mut view, &ingress("greedy", "old"));
        insert(&mut view, &ingress("web", "web"));
        insert(
            &mut view,
            "apiVersion: v1\nkind: Secret\nmetadata: {name: old, namespace: shop}\n",
        );
        assert_eq!(held.hold_back(&mut view, None, &doors), None);
        let began = Instant::now();
        // Nobody names it any more, so it is not read any more.
        view.remove(&secret("old"));
        for number in 0..25 {
            let named = format!("new{number}");
            insert(&mut view, &ingress("greedy", &named));
            insert(&mut view, &ingress("web", &format!("web{number}")));
            let mut sent = view.clone();
            let young = secret(&named);
            let until = held.hold_back(&mut sent, Some(&|object| *object == young), &doors);
            let elapsed = began.elapsed();
            let is_held = !matches!(number, 10 | 21);
            let expected: Vec<String> = if is_held && number < 10 {
                vec![
                    "greedy names old".into(),
                    format!("web names web{number}"),
                    "old".into(),
                ]
            } else if is_held {
                let last = if number < 21 { 10 } else { 21 };
                vec![
                    format!("greedy names new{last}"),
                    format!("web names web{number}"),
                ]
            } else {
                vec![format!("greedy names {named}"), format!("web names web{number}")]
            };
            assert_eq!(shown(&sent), expected, "{number} after {elapsed:?}");
            assert_eq!(until.is_some(), is_held);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        // Its Secret has been read.
        insert(&mut view, &ingress("greedy", "known"));
        let is_another = |object: &ObjectRef| *object == secret("another");
        held.hold_back(&mut view, Some(&is_another), &doors);
        assert_eq!(shown(&view)[0], "greedy names known");
        // A new Ingress is not there before it is sent.
        insert(&mut view, &ingress("another", "another"));
        let mut sent = view.clone();
        assert!(held.hold_back(&mut sent, Some(&is_another), &doors).is_some());
        assert!(sent.ingress(&ObjectKey::new("shop", "another")).is_none());
    }
}
