//! Why the other rules do not answer.
//!
//! Which rules a door serves is read from its table, and whether a rule alone would match is asked of its own pattern. Here
//! it is only put into words.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use door::{Field, Membership, Route};
use resource::{ClusterView, Ingress, IngressPath, Kind, ObjectRef};
use route::{HostPattern, ObjectKey, PathPattern, RequestHost, RequestPath, Row};

use super::distance::distance;
use super::nearest::Nearest;
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
    /// Only rules of this namespace.
    pub(super) namespace: Option<&'r str>,
}

/// What is found.
#[derive(Default)]
pub(super) struct Found {
    /// The nearest first.
    pub(super) candidates: Vec<Candidate>,
    /// How many more there are.
    pub(super) more: usize,
    /// How many are for the host and of other namespaces than the wanted one.
    pub(super) of_other_namespaces: usize,
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

    /// Those for this request. Only what is kept is put into words.
    pub(super) fn find(&self, wanted: &Wanted<'_>) -> Found {
        let Some(view) = &self.world.view else {
            return Found::default();
        };
        let sought = &self.sought(wanted);
        let mut near = Nearest::new(MOST);
        let mut others = Nearest::new(MOST_OTHERS);
        let mut elsewhere = Nearest::new(0);
        let mut is_named = false;
        for ingress in view.ingresses() {
            // Where somebody names the host itself, it is not misspelt.
            is_named |= ingress
                .rule_hosts()
                .any(|host| specificity(host) == EXACT && host.matches(sought.host));
            let is_asked = |namespace| ingress.key.namespace() == namespace;
            if !wanted.namespace.is_none_or(is_asked) {
                self.add(view, ingress, sought, &mut elsewhere);
                continue;
            }
            let before = near.offered();
            self.add(view, ingress, sought, &mut near);
            if near.offered() == before
                && wanted.winner.is_none()
                && !is_named
                && let Some(other) = other_host(ingress, sought)
            {
                others.offer(other);
            }
        }
        let (near, more) = near.into_sorted();
        let mut candidates: Vec<Candidate> = near
            .into_iter()
            .map(|near| self.in_words(view, &near, sought))
            .collect();
        if !is_named {
            let (others, _) = others.into_sorted();
            let room = MOST.saturating_sub(candidates.len());
            candidates.extend(
                others
                    .iter()
                    .take(room)
                    .map(|other| self.of_other_host(view, other)),
            );
        }
        Found {
            candidates,
            more,
            of_other_namespaces: elsewhere.offered(),
        }
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

    /// Why a rule does not answer.
    fn in_words(&self, view: &ClusterView, near: &Near<'_>, sought: &Sought<'_>) -> Candidate {
        let Near {
            ingress,
            membership,
            host,
            path,
            field,
            ..
        } = near;
        let why = match (membership, path) {
            (Membership::Admitted, Some(path)) => self.admitted(ingress, *field, host, path, sought),
            (Membership::Admitted, None) => self.admitted_default(ingress, *field, host, sought),
            (Membership::Labels | Membership::Class | Membership::Namespace, _) => {
                self.unadmitted(view, ingress, *membership)
            }
        };
        Candidate {
            ingress: ingress.key.to_string(),
            host: host_text(host),
            path: path.map_or("/", |path| &path.written).to_owned(),
            path_type: path
                .map_or("Default", |path| path_type(path.path_type))
                .to_owned(),
            why,
        }
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

    /// Offers the rules of an Ingress whose host fits, but for the one that answers.
    fn add<'v>(
        &self,
        view: &ClusterView,
        ingress: &'v Ingress,
        sought: &Sought<'_>,
        candidates: &mut Nearest<Near<'v>>,
    ) {
        let is_for_all = ingress.rules.is_empty() && ingress.default_backend.is_some();
        let fits = |host: &HostPattern| host.matches(sought.host);
        if !is_for_all && !ingress.rule_hosts().any(fits) {
            return;
        }
        let membership = self.door.config.policy.membership_of(ingress, view);
        let near = |host, path: Option<&'v IngressPath>, field, place| Near {
            ingress,
            membership,
            host,
            path,
            field,
            matches: path.is_none_or(|path| matches(path, sought)),
            place,
        };
        let mut offer = |near: Near<'v>| {
            let is_winner = sought
                .winner
                .is_some_and(|winner| winner.origin.key == ingress.key && winner.field == near.field);
            if !is_winner {
                candidates.offer(near);
            }
        };
        for (rule, written) in ingress.rules.iter().enumerate() {
            let Some(host) = written.host.as_ref().ok().filter(|host| fits(host)) else {
                continue;
            };
            for (path, written) in written.paths.iter().enumerate() {
                let field = Field::Path { rule, path };
                offer(near(host, Some(written), field, (rule, path)));
            }
            if ingress.default_backend.is_some() {
                offer(near(host, None, Field::HostDefault { rule }, (rule, usize::MAX)));
            }
        }
        if is_for_all {
            offer(near(&HostPattern::Any, None, Field::Default, (0, 0)));
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

    /// Why the default backend of an Ingress that the door admits does not answer.
    fn admitted_default(
        &self,
        ingress: &Ingress,
        field: Field,
        host: &HostPattern,
        sought: &Sought<'_>,
    ) -> String {
        if !self.placed.contains_key(&(&ingress.key, field)) {
            return self.unplaced(ingress, field, host, None);
        }
        let lost = match sought.winner {
            Some(_) => None,
            None => Self::lost_host(host, sought),
        };
        lost.unwrap_or_else(|| "a default backend answers only what no rule matches".to_owned())
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
    let shown = cut(&asked);
    let hint = match pattern {
        PathPattern::Exact(_) => "; an exact path matches nothing below it",
        PathPattern::Prefix(_) if asked.starts_with(written.trim_end_matches('/')) => {
            "; a prefix matches whole elements of a path"
        }
        PathPattern::Prefix(_) | PathPattern::Regex(_) => "",
    };
    format!("its path `{written}` does not match `{shown}`{hint}")
}

/// A path of a request, as it is repeated for each rule: a long one is cut.
fn cut(path: &str) -> String {
    const MOST: usize = 200;
    match path.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", path.get(..end).unwrap_or_default()),
        None => path.to_owned(),
    }
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

/// A rule whose host fits.
struct Near<'v> {
    ingress: &'v Ingress,
    membership: Membership,
    host: &'v HostPattern,
    /// `None`: a default backend.
    path: Option<&'v IngressPath>,
    field: Field,
    /// Whether it alone would match.
    matches: bool,
    /// Its place in its Ingress.
    place: (usize, usize),
}

impl Near<'_> {
    /// Those that would answer come first, and of these the ones of this door.
    fn order(&self) -> impl Ord + use<'_> {
        (
            !self.matches,
            self.membership != Membership::Admitted,
            u8::MAX - specificity(self.host),
            &self.ingress.key,
            self.host,
            self.path.map_or("/", |path| &path.written),
            self.place,
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

/// The rule of an Ingress whose host is the nearest to the request's.
fn other_host<'v>(ingress: &'v Ingress, sought: &Sought<'_>) -> Option<Other<'v>> {
    let asked = sought.host?.as_str();
    let rules = ingress
        .rules
        .iter()
        .filter_map(|rule| Some((rule.host.as_ref().ok()?, rule.paths.first()?)));
    let others = rules.map(|(host, path)| Other {
        distance: distance(asked, &text(host)),
        host,
        path,
        ingress,
    });
    others.min_by_key(|other| other.distance)
}

/// As [`host_text`], copied only where it must be.
fn text(host: &HostPattern) -> Cow<'_, str> {
    match host {
        HostPattern::Exact(host) => Cow::Borrowed(host.as_str()),
        HostPattern::Any | HostPattern::Wildcard(_) => Cow::Owned(host_text(host)),
    }
}

macro_rules! in_order {
    ($type:ident) => {
        impl Ord for $type<'_> {
            fn cmp(&self, other: &Self) -> Ordering {
                self.order().cmp(&other.order())
            }
        }

        impl PartialOrd for $type<'_> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl PartialEq for $type<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $type<'_> {}
    };
}

in_order!(Near);
in_order!(Other);
