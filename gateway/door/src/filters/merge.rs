//! One meaning from three spellings: which of the filters that an Ingress asks for count, and in which order they run.

use std::collections::BTreeSet;

use filter::access::Whose;
use resource::{Dialect, FilterKind, FilterSpec, NoFilter, Severity, Topic};

use super::asked::Asked;
use crate::rule::ObjectReport;

/// Of one kind, the gateway's own spelling counts beside that of ingress-nginx, with a note; where ingress-nginx and
/// Traefik say the same, it counts once. `None` where they say something else, or where only one can count: the Ingress is
/// closed, which is reported.
/// `none`: what our own spelling asks not to be done, which counts as well.
pub(super) fn merge<'a>(
    mut asked: Vec<Asked<'a>>,
    none: &[NoFilter],
    report: &mut ObjectReport<'_>,
) -> Option<Vec<Asked<'a>>> {
    let kinds: BTreeSet<FilterKind> = asked.iter().map(Asked::kind).collect();
    let mut is_sound = true;
    for kind in kinds {
        is_sound &= merge_kind(kind, &mut asked, none, report);
    }
    if !is_sound {
        return None;
    }
    order(&mut asked);
    Some(asked)
}

/// Leaves the filters of one kind that count. Says whether there is no conflict.
fn merge_kind(
    kind: FilterKind,
    asked: &mut Vec<Asked<'_>>,
    none: &[NoFilter],
    report: &mut ObjectReport<'_>,
) -> bool {
    let of = |dialect: Dialect| {
        let own = asked.iter().copied();
        own.filter(|asked| asked.asks_for(kind) && asked.dialect == dialect)
            .collect::<Vec<_>>()
    };
    let [own, nginx, traefik] = [Dialect::Own, Dialect::Nginx, Dialect::Traefik].map(of);
    let mut nginx_counts = true;
    let none = none.iter().find(|none| none.kind == kind);
    let none = none.map(|none| format!("`{}`", none.annotation));
    let own_place = own.first().map(Asked::place).or(none);
    if let (Some(counts), false) = (own_place, nginx.is_empty()) {
        nginx_counts = false;
        for ignored in nginx.iter().filter(|ignored| !is_among(kind, ignored, &own)) {
            let message = format!("{counts} counts instead of it");
            report.add(Severity::Note, ignored.field, message);
        }
    } else if let (Some(first), Some(other)) = (nginx.first(), traefik.first()) {
        nginx_counts = false;
        let same = nginx.iter().all(|one| is_among(kind, one, &traefik))
            && traefik.iter().all(|one| is_among(kind, one, &nginx));
        if !same {
            let message = format!(
                "{} and {} ask for {} in different ways{}; closed (503); remove one of the two",
                first.place(),
                other.place(),
                kind.name(),
                difference(first.spec, other.spec)
            );
            report.add_about(
                Topic::FilterConflict,
                Severity::Error,
                first.field,
                message.clone(),
            );
            report.add_about(Topic::FilterConflict, Severity::Error, other.field, message);
            return false;
        }
    }
    asked.retain(|asked| nginx_counts || asked.kind() != kind || asked.dialect != Dialect::Nginx);
    if kind.is_single() {
        return keep_one(kind, asked, report);
    }
    true
}

/// In which way two of one kind differ, where the objects do not show it.
fn difference(nginx: &FilterSpec, traefik: &FilterSpec) -> &'static str {
    let (FilterSpec::Allow(nginx), FilterSpec::Allow(traefik)) = (nginx, traefik) else {
        return "";
    };
    match (&nginx.whose, &traefik.whose) {
        (Whose::Client, Whose::Strategy(_)) => {
            " (the first is about the client that the door resolves; the second about the peer of the connection, or the \
             address that its `ipStrategy` finds)"
        }
        (Whose::Client | Whose::Strategy(_), _) => "",
    }
}

/// Of a kind of which only one can count, leaves one if all say the same.
fn keep_one(kind: FilterKind, asked: &mut Vec<Asked<'_>>, report: &mut ObjectReport<'_>) -> bool {
    let Some(first) = asked.iter().copied().find(|asked| asked.kind() == kind) else {
        return true;
    };
    let differs = |other: &&Asked<'_>| other.kind() == kind && other.spec != first.spec;
    if let Some(other) = asked.iter().find(differs) {
        let message = format!(
            "{} and {} both ask for {}, and only one can count; closed (503); remove one of the two",
            first.place(),
            other.place(),
            kind.name()
        );
        report.add_about(Topic::FilterConflict, Severity::Error, other.field, message);
        return false;
    }
    let mut is_first = true;
    asked.retain(|asked| asked.kind() != kind || std::mem::take(&mut is_first));
    true
}

/// Whether one of the others says the same about a kind.
fn is_among(kind: FilterKind, one: &Asked<'_>, others: &[Asked<'_>]) -> bool {
    others.iter().any(|other| {
        if kind != FilterKind::Cors {
            return other.spec == one.spec;
        }
        match (other.spec.cors(), one.spec.cors()) {
            (Some(other), Some(one)) => other.agrees_with(one),
            (other, one) => other == one,
        }
    })
}

/// Guards of annotations by kind, Middlewares as they are named, then the rest of the annotations by kind.
fn order(asked: &mut [Asked<'_>]) {
    asked.sort_by_key(|asked| {
        let kind = asked.kind();
        let place = asked.spec.place();
        match (asked.middleware, kind.is_guard()) {
            (None, true) => (0, Some(kind), place),
            (Some(_), _) => (1, None, 0),
            (None, false) => (2, Some(kind), place),
        }
    });
}
