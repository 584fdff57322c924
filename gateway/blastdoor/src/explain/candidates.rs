//! Why the other rules do not answer.
//!
//! Which rules a door serves is read from its table, and whether a rule alone would match is asked of its own pattern. Here
//! it is only put into words.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use door::{Field, Membership, Route};
use resource::{ClusterView, Ingress, IngressPath, Kind, ObjectRef};
use route::{HostPattern, ObjectKey, PathPattern, RequestHost, RequestPath, Row};

use super::told::Candidate;
use crate::audit::{Place, host_text, path_type, places};
use crate::shown::{ShownDoor, ShownWorld};

/// How many candidates a door has at most.
const MOST: usize = 50;

/// How many rules for other hosts are among them.
const MOST_OTHERS: usize = 8;

/// What is looked for.
pub(super) struct Wanted<'r> {
    pub(super) host: Option<&'r RequestHost<'r>>,
    /// `None` where the path is refused before anything is matched.
    pub(super) path: Option<&'r RequestPath<'r>>,
    /// The rule that answers.
    pub(super) winner: Option<&'r Arc<Route>>,
}

/// The same, with what is worth finding out only once.
struct Sought<'r> {
    host: Option<&'r RequestHost<'r>>,
    path: Option<&'r RequestPath<'r>>,
    winner: Option<&'r Arc<Route>>,
    /// The most precise host of the door's rules that fits the request.
    first: Option<&'r HostPattern>,
    /// The path of the winner; `None` if it is a default.
    winner_path: Option<&'r PathPattern>,
}

/// The rules of one door whose host fits a request, for those who look for the reason of a decision. Of the others, whose number
/// is that of all Ingresses, nothing is gathered but which hosts are the nearest.
pub(super) struct Candidates<'w> {
    world: &'w ShownWorld,
    door: &'w ShownDoor,
    /// What has a place in the door's table: under which hosts.
    placed: HashMap<(&'w ObjectKey, Field), Vec<&'w HostPattern>>,
    /// Who has each place.
    holders: HashMap<Place<'w>, &'w Arc<Route>>,
}

impl<'w> Candidates<'w> {
    pub(super) fn of(world: &'w ShownWorld, door: &'w ShownDoor, request: Option<&RequestHost<'_>>) -> Self {
        let fitting = || door.snapshot.routes().filter(|row| row.host.matches(request));
        let mut placed: HashMap<_, Vec<_>> = HashMap::new();
        for Row { host, action, .. } in fitting() {
            placed
                .entry((&action.origin.key, action.field))
                .or_default()
                .push(host);
        }
        Self {
            world,
            door,
            placed,
            holders: places(fitting()),
        }
    }

    /// Those for this request, the nearest first; and how many more there are.
    pub(super) fn find(&self, wanted: &Wanted<'_>) -> (Vec<Candidate>, usize) {
        let Some(view) = &self.world.view else {
            return (Vec::new(), 0);
        };
        let sought = &self.sought(wanted);
        let mut near = Vec::new();
        let mut others = Nearest::default();
        for ingress in view.ingresses() {
            let before = near.len();
            self.add(view, ingress, sought, &mut near);
            if near.len() == before && wanted.winner.is_none() {
                others.look_at(ingress, sought);
            }
        }
        // Where somebody names the host itself, it is not misspelt.
        if near.iter().any(|ranked: &Ranked| ranked.specific == EXACT) {
            others = Nearest::default();
        }
        near.sort_by(|left: &Ranked, right| left.order().cmp(&right.order()));
        let more = near.len().saturating_sub(MOST);
        near.truncate(MOST);
        let mut candidates: Vec<Candidate> = near.into_iter().map(|ranked| ranked.candidate).collect();
        let others = others.0.iter().take(MOST - candidates.len());
        candidates.extend(others.map(|other| self.of_other_host(view, other)));
        (candidates, more)
    }

    /// How many rules have been gathered.
    #[cfg(test)]
    pub(super) fn gathered(&self) -> usize {
        self.placed
            .values()
            .map(Vec::len)
            .sum::<usize>()
            .max(self.holders.len())
    }

    fn sought<'r>(&'r self, wanted: &Wanted<'r>) -> Sought<'r> {
        let hosts = self.holders.keys().map(|(host, ..)| *host);
        let fitting = hosts.filter(|host| host.matches(wanted.host));
        let of_winner = wanted.winner.and_then(|winner| {
            let mut holders = self.holders.iter();
            holders.find(|((host, ..), route)| Arc::ptr_eq(route, winner) && host.matches(wanted.host))
        });
        Sought {
            host: wanted.host,
            path: wanted.path,
            winner: wanted.winner,
            first: fitting.max_by_key(|host| specificity(host)),
            winner_path: of_winner.and_then(|((_, path, _), _)| *path),
        }
    }

    /// Adds the rules of an Ingress whose host fits.
    fn add(
        &self,
        view: &ClusterView,
        ingress: &Arc<Ingress>,
        sought: &Sought<'_>,
        candidates: &mut Vec<Ranked>,
    ) {
        let mut hosts = ingress.rule_hosts();
        let is_for_all = ingress.rules.is_empty() && ingress.default_backend.is_some();
        if !is_for_all && !hosts.any(|host| host.matches(sought.host)) {
            return;
        }
        let membership = self.door.config.policy.membership_of(ingress, view);
        let unadmitted =
            (membership != Membership::Admitted).then(|| self.unadmitted(view, ingress, membership));
        for (index, rule) in ingress.rules.iter().enumerate() {
            let Ok(host) = &rule.host else { continue };
            if !host.matches(sought.host) {
                continue;
            }
            for (position, path) in rule.paths.iter().enumerate() {
                let field = Field::Path {
                    rule: index,
                    path: position,
                };
                let is_winner = sought
                    .winner
                    .is_some_and(|winner| winner.origin.key == ingress.key && winner.field == field);
                if is_winner {
                    continue;
                }
                let matches = matches(path, sought);
                let why = match &unadmitted {
                    Some(why) => why.clone(),
                    None => self.admitted(ingress, field, host, path, sought),
                };
                candidates.push(Ranked {
                    matches,
                    admitted: unadmitted.is_none(),
                    specific: specificity(host),
                    candidate: Candidate {
                        ingress: ingress.key.to_string(),
                        host: host_text(host),
                        path: path.written.to_string(),
                        path_type: path_type(path.path_type).to_owned(),
                        why,
                    },
                });
            }
            if ingress.default_backend.is_some() {
                self.add_default(
                    ingress,
                    Field::HostDefault { rule: index },
                    host,
                    unadmitted.as_ref(),
                    sought,
                    candidates,
                );
            }
        }
        if is_for_all {
            self.add_default(
                ingress,
                Field::Default,
                &HostPattern::Any,
                unadmitted.as_ref(),
                sought,
                candidates,
            );
        }
    }

    fn of_other_host(&self, view: &ClusterView, other: &Other<'_>) -> Candidate {
        let Other {
            host, path, ingress, ..
        } = other;
        let at_door = match self.door.config.policy.membership_of(ingress, view) {
            Membership::Admitted => "",
            Membership::Labels | Membership::Class | Membership::Namespace => {
                ", and it is not admitted at this door"
            }
        };
        Candidate {
            ingress: ingress.key.to_string(),
            host: host_text(host),
            path: path.written.to_string(),
            path_type: path_type(path.path_type).to_owned(),
            why: format!("it is for another host, `{}`{at_door}", host_text(host)),
        }
    }

    fn add_default(
        &self,
        ingress: &Ingress,
        field: Field,
        host: &HostPattern,
        unadmitted: Option<&String>,
        sought: &Sought<'_>,
        candidates: &mut Vec<Ranked>,
    ) {
        let is_winner = sought
            .winner
            .is_some_and(|winner| winner.origin.key == ingress.key && winner.field == field);
        if is_winner {
            return;
        }
        let why = match unadmitted {
            Some(why) => why.clone(),
            None if self.placed.contains_key(&(&ingress.key, field)) => match sought.winner {
                Some(_) => "a default backend answers only what no rule matches".to_owned(),
                None => Self::lost_host(host, sought)
                    .unwrap_or_else(|| "a default backend answers only what no rule matches".to_owned()),
            },
            None => self.unplaced(ingress, field, host, None),
        };
        candidates.push(Ranked {
            matches: true,
            admitted: unadmitted.is_none(),
            specific: specificity(host),
            candidate: Candidate {
                ingress: ingress.key.to_string(),
                host: host_text(host),
                path: "/".to_owned(),
                path_type: "Default".to_owned(),
                why,
            },
        });
    }

    /// Why a rule of an Ingress that the door admits does not answer.
    fn admitted(
        &self,
        ingress: &Ingress,
        field: Field,
        host: &HostPattern,
        path: &IngressPath,
        sought: &Sought<'_>,
    ) -> String {
        let hosts = self.placed.get(&(&ingress.key, field));
        let is_placed = hosts.is_some_and(|hosts| hosts.contains(&host));
        if !is_placed {
            return self.unplaced(ingress, field, host, Some(path));
        }
        if let Some(lost) = Self::lost_host(host, sought) {
            return lost;
        }
        let Some(request) = sought.path else {
            return "the request is refused before any rule is looked at".to_owned();
        };
        match &path.pattern {
            Ok(pattern) if pattern.matches(request) => match sought.winner {
                Some(winner) => outranked(winner, sought.winner_path, pattern),
                None => "it matches, and another answer comes before the rules".to_owned(),
            },
            Ok(pattern) => mismatch(pattern, path, request),
            Err(invalid) => invalid.to_string(),
        }
    }

    /// The reason where rules for a more precise host come first.
    fn lost_host(host: &HostPattern, sought: &Sought<'_>) -> Option<String> {
        let first = sought.first?;
        (specificity(first) > specificity(host)).then(|| {
            let what = match host {
                HostPattern::Any => "a rule without a host",
                HostPattern::Wildcard(_) | HostPattern::Exact(_) => "a wildcard",
            };
            format!(
                "rules of this door name host `{}` more precisely; they come first, and what none of their paths matches does \
                 not fall through to {what}",
                host_text(first)
            )
        })
    }

    /// Why a rule has no place at the door that admits its Ingress.
    fn unplaced(
        &self,
        ingress: &Ingress,
        field: Field,
        host: &HostPattern,
        path: Option<&IngressPath>,
    ) -> String {
        let door = self.door.name();
        if !self.door.config.policy.host_admits(host) {
            let host = host_text(host);
            return format!(
                "host `{host}` may not be exposed at door `{door}`; the door's `hosts` says which may"
            );
        }
        if ingress.annotations.choosing.canary.is_some() {
            return "a canary has no place of its own: it takes a part of the requests of the Ingress that it belongs to"
                .to_owned();
        }
        // What the compiler has said of this rule at this door.
        let named = format!("door `{door}`");
        let wrong = self.problems(ingress, &[field.host(), field.path(), field.backend()]);
        if let Some(here) = wrong.iter().find(|message| message.contains(&named)) {
            return here.clone();
        }
        let pattern = path.and_then(|path| path.pattern.as_ref().ok());
        if path.is_none() || pattern.is_some() {
            match self.holders.get(&(host, pattern, field == Field::Default)) {
                Some(holder) if holder.origin.key != ingress.key => {
                    return format!(
                        "Ingress `{}` has this place at door `{door}`; of two the older one wins",
                        holder.origin.key
                    );
                }
                Some(holder) if holder.field != field => {
                    return format!(
                        "this Ingress has the same place before, in `{}`; the first one counts",
                        holder.field.path()
                    );
                }
                Some(_) | None => {}
            }
        }
        wrong.first().cloned().unwrap_or_else(|| {
            format!("it has no place at door `{door}`; `blastdoor check` says what is wrong with it")
        })
    }

    /// What is wrong with these fields of an Ingress, and what is below them.
    fn problems(&self, ingress: &Ingress, fields: &[String]) -> Vec<String> {
        let object = ObjectRef::namespaced(Kind::Ingress, &ingress.key);
        let problems = self.world.problems.get(&object).iter();
        let concerned = problems.filter(|problem| {
            problem.field == "spec" || fields.iter().any(|field| problem.field.starts_with(&**field))
        });
        concerned.map(|problem| problem.message.clone()).collect()
    }

    /// Why the door does not admit an Ingress.
    fn unadmitted(&self, view: &ClusterView, ingress: &Ingress, membership: Membership) -> String {
        let policy = &self.door.config.policy;
        let door = self.door.name();
        let wanted = policy.membership();
        let elsewhere = self.admitting(view, ingress);
        match membership {
            Membership::Admitted => String::new(),
            Membership::Namespace => format!(
                "namespace `{}` may not expose at door `{door}`; the door's `namespaces` says who may",
                ingress.key.namespace()
            ),
            Membership::Class => {
                let class = match &ingress.class {
                    Some(class) => format!("its class is `{}`", class.name),
                    None => "it has no class, and no class of the door is the default one".to_owned(),
                };
                format!("not admitted at door `{door}`, which selects {wanted}: {class}{elsewhere}")
            }
            Membership::Labels => {
                let keys: BTreeSet<&str> = policy.selectors.positive_keys().collect();
                let own = keys
                    .iter()
                    .filter_map(|key| Some((*key, ingress.labels.get(key)?)));
                let own: Vec<String> = own.map(|(key, value)| format!("`{key}={value}`")).collect();
                let labels = if own.is_empty() {
                    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
                    format!("the label {} is missing", keys.join(" or "))
                } else {
                    format!("its label is {}", own.join(", "))
                };
                format!("not admitted at door `{door}`, which selects {wanted}: {labels}{elsewhere}")
            }
        }
    }

    /// Which other doors admit an Ingress.
    fn admitting(&self, view: &ClusterView, ingress: &Ingress) -> String {
        let here = self
            .world
            .doors
            .iter()
            .map(|door| (door.name(), &door.config.policy));
        let others = self
            .world
            .config
            .others
            .iter()
            .map(|(name, policy)| (name, policy));
        let admitting = here
            .chain(others)
            .filter(|(name, policy)| *name != self.door.name() && policy.admits(ingress, view));
        let names: Vec<String> = admitting.map(|(name, _)| format!("`{name}`")).collect();
        match &*names {
            [] => "; no door admits it".to_owned(),
            names => format!("; it is of door {}", names.join(" and ")),
        }
    }
}

/// Why another rule for the same host comes first.
fn outranked(winner: &Route, first: Option<&PathPattern>, pattern: &PathPattern) -> String {
    let by = format!("Ingress `{}`", winner.origin.key);
    match first {
        Some(first @ PathPattern::Exact(_)) => {
            format!("the exact path `{first}` of {by} comes before every prefix")
        }
        Some(first @ PathPattern::Prefix(_)) => {
            format!(
                "the path `{first}` of {by} is longer than `{pattern}`, or of equal length and comes first"
            )
        }
        Some(first @ PathPattern::Regex(_)) => {
            format!("the regular expression `{first}` of {by} matches too and comes first, by its length")
        }
        None => format!("{by} answers first"),
    }
}

/// Why the path of a rule does not match.
fn mismatch(pattern: &PathPattern, path: &IngressPath, request: &RequestPath<'_>) -> String {
    let asked = String::from_utf8_lossy(request.as_bytes());
    let written = &path.written;
    let hint = match pattern {
        PathPattern::Exact(_) => "; an exact path matches nothing below it",
        PathPattern::Prefix(_) if asked.starts_with(written.trim_end_matches('/')) => {
            "; a prefix matches whole elements of a path"
        }
        PathPattern::Prefix(_) | PathPattern::Regex(_) => "",
    };
    format!("its path `{written}` does not match `{asked}`{hint}")
}

fn matches(path: &IngressPath, sought: &Sought<'_>) -> bool {
    let pattern = path.pattern.as_ref().ok();
    pattern
        .zip(sought.path)
        .is_some_and(|(pattern, path)| pattern.matches(path))
}

/// How specific a host without a wildcard is.
const EXACT: u8 = 2;

fn specificity(host: &HostPattern) -> u8 {
    match host {
        HostPattern::Any => 0,
        HostPattern::Wildcard(_) => 1,
        HostPattern::Exact(_) => EXACT,
    }
}

/// A candidate whose host fits.
struct Ranked {
    matches: bool,
    admitted: bool,
    specific: u8,
    candidate: Candidate,
}

impl Ranked {
    /// Those that would answer come first, and of these the ones of this door.
    fn order(&self) -> impl Ord + use<'_> {
        let Candidate {
            ingress, host, path, ..
        } = &self.candidate;
        (
            !self.matches,
            !self.admitted,
            u8::MAX - self.specific,
            ingress,
            host,
            path,
        )
    }
}

/// A rule for another host.
struct Other<'v> {
    distance: usize,
    host: &'v HostPattern,
    path: &'v IngressPath,
    ingress: &'v Ingress,
}

impl Other<'_> {
    fn order(&self) -> impl Ord + use<'_> {
        (self.distance, self.host, &self.ingress.key)
    }
}

/// The rules whose hosts are the nearest to the request's, of each Ingress one.
#[derive(Default)]
struct Nearest<'v>(Vec<Other<'v>>);

impl<'v> Nearest<'v> {
    fn look_at(&mut self, ingress: &'v Ingress, sought: &Sought<'_>) {
        let Some(asked) = sought.host else { return };
        let rules = ingress
            .rules
            .iter()
            .filter_map(|rule| Some((rule.host.as_ref().ok()?, rule.paths.first()?)));
        let others = rules.map(|(host, path)| Other {
            distance: distance(asked.as_str(), &text(host)),
            host,
            path,
            ingress,
        });
        let Some(other) = others.min_by_key(|other| other.distance) else {
            return;
        };
        let place = self.0.partition_point(|known| known.order() < other.order());
        if place < MOST_OTHERS {
            self.0.truncate(MOST_OTHERS - 1);
            self.0.insert(place, other);
        }
    }
}

/// As [`host_text`], copied only where it must be.
fn text(host: &HostPattern) -> Cow<'_, str> {
    match host {
        HostPattern::Exact(host) => Cow::Borrowed(host.as_str()),
        HostPattern::Any | HostPattern::Wildcard(_) => Cow::Owned(host_text(host)),
    }
}

/// How far two hosts are from each other: what is left of the longer one without their common beginning and end.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let shorter = left.len().min(right.len());
    let same = |(one, other): &(&u8, &u8)| one.eq_ignore_ascii_case(other);
    let end = left.iter().rev().zip(right.iter().rev()).take_while(same).count();
    let begin = left.iter().zip(right).take_while(same).count().min(shorter - end);
    left.len().max(right.len()) - end - begin
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn near_hosts_share_their_ends() {
        let mut hosts = ["other.example", "shop.test", "www.shop.test", "shop.tset", "a.b"];
        hosts.sort_by_key(|host| distance("ww.shop.test", host));
        assert_eq!(
            hosts,
            ["www.shop.test", "shop.test", "shop.tset", "a.b", "other.example"]
        );
        assert_eq!(distance("a.test", "a.test"), 0);
        assert_eq!(distance("", "a"), 1);
    }
}
