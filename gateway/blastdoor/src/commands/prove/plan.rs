//! From configuration and objects to what is to be tried: which hosts belong to which door, and what another must not answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use door::{Action, ClientAuth, Route, Snapshot, Verdict};
use prove::{Control, Door, Expected, Http2, Own, Pair, Plan, ProxyHeader, Target};
use proxy::{ProxyProtocol, Settings};
use route::{HostBuf, HostPattern, PathPattern, PathScratch, RowPath, normalise_authority, normalise_path};

use super::address::{DoorAddress, local};
use crate::config::DoorConfig;
use crate::world::{OpenDoor, World, WorldDoor};

/// A path that nobody writes.
const UNLIKELY: &str = "/blastdoor-prove";
/// What stands for the label of a wildcard.
const ANY_LABEL: &str = "blastdoor-prove";

/// What is to be tried at these doors, with at most so many hosts for each pair of them.
///
/// # Errors
/// When an address is for no door, or a door has none.
pub(super) async fn plan(
    world: &World<OpenDoor>,
    addresses: &[DoorAddress],
    hosts: usize,
) -> Result<Plan, String> {
    let known = |asked: &&DoorAddress| {
        let mut doors = world.doors.iter();
        !doors.any(|door| door.config().name.as_str() == asked.door)
    };
    if let Some(unknown) = addresses.iter().find(known) {
        let names: Vec<&str> = world
            .doors
            .iter()
            .map(|door| door.config().name.as_str())
            .collect();
        return Err(format!(
            "--address: there is no door `{}`; allowed: {}",
            unknown.door,
            names.join(", ")
        ));
    }
    let surveyed: Vec<Surveyed> = world.doors.iter().map(Surveyed::of).collect();
    let mut doors = Vec::new();
    for (open, surveyed) in world.doors.iter().zip(&surveyed) {
        let config = open.config();
        let asked = addresses.iter().rfind(|asked| asked.door == config.name.as_str());
        doors.push(door(config, surveyed, asked).await?);
    }
    // Two hosts that exist nowhere: one beside others in a request, and one in the place of what must not be answered.
    let nowhere = format!("blastdoor-prove-{}.invalid", std::process::id());
    let unknown = format!("blastdoor-prove-{}-unknown.invalid", std::process::id());
    let indices = 0..surveyed.len();
    let pairs = indices
        .clone()
        .flat_map(|from| indices.clone().map(move |at| (from, at)))
        .filter(|(from, at)| from != at)
        .filter_map(|(from, at)| {
            let search = Search {
                all: &surveyed,
                home: surveyed.get(from)?,
                at: surveyed.get(at)?,
                unknown: &unknown,
            };
            Some(Pair {
                from,
                at,
                ..search.pair(hosts)
            })
        });
    let pairs = pairs.collect();
    Ok(Plan {
        doors,
        pairs,
        nowhere,
    })
}

async fn door(config: &DoorConfig, surveyed: &Surveyed, asked: Option<&DoorAddress>) -> Result<Door, String> {
    let address = match asked {
        Some(asked) => asked.resolve().await?,
        None => local(config)?,
    };
    let policy = config.policy.tls.as_ref();
    let tls = asked.and_then(|asked| asked.tls).unwrap_or(policy.is_some());
    let wants = |policy: &door::TlsPolicy| matches!(policy.client_auth, ClientAuth::Required(_));
    Ok(Door {
        name: config.name.to_string(),
        address,
        tls,
        http2: match (tls, config.settings.h2c) {
            (true, _) => Http2::Maybe,
            // Something else may stand there that speaks only HTTP/1.
            (false, true) if asked.is_some() => Http2::Maybe,
            (false, true) => Http2::Yes,
            (false, false) => Http2::No,
        },
        wants_certificate: policy.is_some_and(wants),
        proxy: match config.settings.proxy_protocol {
            ProxyProtocol::Off | ProxyProtocol::Optional => ProxyHeader::Off,
            ProxyProtocol::Required if asked.is_some() => ProxyHeader::Behind,
            ProxyProtocol::Required => ProxyHeader::Required,
        },
        bind: config.binding.address,
        own: surveyed.own(),
    })
}

/// A door as its objects make it.
struct Surveyed {
    snapshot: Arc<Snapshot<Settings>>,
    /// By host: the rules for it, the ones that have a backend first.
    hosts: BTreeMap<HostPattern, Vec<Candidate>>,
}

/// A host and path of a door.
struct Candidate {
    host: String,
    path: String,
    ingress: Box<str>,
    /// Something behind the door answers.
    forwards: bool,
    /// The TLS of its connections is passed through.
    is_passed: bool,
}

/// What a door does with a host and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Served,
    Redirected,
    Unknown,
}

impl Surveyed {
    fn of(door: &OpenDoor) -> Self {
        let snapshot = door.snapshot();
        let mut hosts: BTreeMap<HostPattern, Vec<Candidate>> = BTreeMap::new();
        for row in snapshot.routes() {
            let Some(candidate) = candidate(&snapshot, row.host, Some(row.path), row.action) else {
                continue;
            };
            hosts.entry(row.host.clone()).or_default().push(candidate);
        }
        let passed = snapshot
            .tls()
            .into_iter()
            .flat_map(|tls| tls.passthrough_routes());
        for (host, route) in passed {
            if let Some(candidate) = candidate(&snapshot, &host, None, route) {
                hosts.entry(host).or_default().push(candidate);
            }
        }
        for candidates in hosts.values_mut() {
            candidates.sort_by_key(|candidate| !candidate.forwards);
        }
        Self { snapshot, hosts }
    }

    /// What the door answers itself, best with a backend.
    fn own(&self) -> Option<Own> {
        let all = self.hosts.values().flatten();
        let own = all.filter(|candidate| !candidate.is_passed);
        let best = own.min_by_key(|candidate| !candidate.forwards)?;
        Some(Own {
            host: best.host.clone(),
            path: best.path.clone(),
        })
    }

    fn fate(&self, host: &str, path: &str) -> Fate {
        let (mut buffer, mut scratch) = (HostBuf::default(), PathScratch::default());
        let Ok(host) = normalise_authority(host.as_bytes(), &mut buffer) else {
            return Fate::Unknown;
        };
        if self
            .snapshot
            .tls()
            .is_some_and(|tls| tls.passthrough(&host).is_some())
        {
            return Fate::Served;
        }
        let Ok(path) = normalise_path(path.as_bytes(), &mut scratch) else {
            return Fate::Unknown;
        };
        let health = self.snapshot.settings().health_path.as_deref();
        if health.is_some_and(|health| health.as_bytes() == path.as_bytes()) {
            return Fate::Served;
        }
        match self.snapshot.find(Some(&host), &path) {
            Verdict::Matched(_) => Fate::Served,
            Verdict::Redirect { .. } => Fate::Redirected,
            Verdict::Unknown { .. } | Verdict::NotSynced => Fate::Unknown,
        }
    }

    /// Which certificate a name has, by its origin.
    fn certificate(&self, host: &str) -> Option<String> {
        let mut buffer = HostBuf::default();
        let host = normalise_authority(host.as_bytes(), &mut buffer).ok()?;
        let certificate = self.snapshot.tls()?.certificate(Some(&host))?;
        Some(certificate.secret)
    }
}

/// A request that this rule answers, if one can be made up.
fn candidate(
    snapshot: &Snapshot<Settings>,
    pattern: &HostPattern,
    path: Option<RowPath<'_>>,
    route: &Route,
) -> Option<Candidate> {
    let host = match pattern {
        HostPattern::Exact(host) => host.as_str().to_owned(),
        HostPattern::Wildcard(suffix) => format!("{ANY_LABEL}.{}", suffix.as_str()),
        HostPattern::Any => format!("{ANY_LABEL}-{}-any.invalid", std::process::id()),
    };
    let made_up = |path: &str| Candidate {
        host: host.clone(),
        path: path.to_owned(),
        ingress: route.origin.text.clone(),
        forwards: matches!(route.action, Action::Forward(_)),
        is_passed: false,
    };
    let Some(path) = path else {
        return Some(Candidate {
            is_passed: true,
            ..made_up("/")
        });
    };
    let mut buffer = HostBuf::default();
    let named = normalise_authority(host.as_bytes(), &mut buffer).ok()?;
    let tried = match path {
        RowPath::Pattern(PathPattern::Regex(regex)) => examples(regex.as_str()),
        RowPath::Pattern(written @ (PathPattern::Exact(_) | PathPattern::Prefix(_))) => {
            let written = written.to_string();
            // That of `/` is empty.
            vec![if written.is_empty() {
                "/".to_owned()
            } else {
                written
            }]
        }
        RowPath::HostDefault | RowPath::Default => vec![UNLIKELY.to_owned()],
    };
    let is_answered = |path: &&String| {
        let mut scratch = PathScratch::default();
        // Pattern texts of regular expressions may be no paths.
        let is_written = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        let path = normalise_path(path.as_bytes(), &mut scratch);
        let found = path.map(|path| match snapshot.find(Some(&named), &path) {
            Verdict::Matched(found) => std::ptr::eq(Arc::as_ptr(found), route),
            Verdict::Redirect { .. } | Verdict::Unknown { .. } | Verdict::NotSynced => false,
        });
        is_written && found.unwrap_or(false)
    };
    tried.iter().find(is_answered).map(|path| made_up(path))
}

/// Paths that a regular expression may match: what it begins with, as it is and with something behind it.
fn examples(regex: &str) -> Vec<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_~".contains(letter);
    let end = regex.find(|letter| !is_plain(letter)).unwrap_or(regex.len());
    let start = regex.get(..end).unwrap_or_default();
    ["", "a", "1", "/a"].map(|rest| format!("{start}{rest}")).to_vec()
}

/// The search for what is to be tried between two doors.
struct Search<'a> {
    all: &'a [Surveyed],
    home: &'a Surveyed,
    at: &'a Surveyed,
    /// A host that exists nowhere.
    unknown: &'a str,
}

impl Search<'_> {
    fn pair(&self, most: usize) -> Pair {
        let mut pair = Pair::default();
        let mut found = Vec::new();
        for (host, candidates) in &self.home.hosts {
            let kept_apart = candidates
                .iter()
                .find(|candidate| self.at.fate(&candidate.host, &candidate.path) != Fate::Served);
            match kept_apart {
                None => pair.shared += 1,
                Some(candidate) => found.push((host, candidate)),
            }
        }
        // One of each kind first: one that has no host, one with a wildcard, one with a name.
        let kind = |host: &HostPattern| match host {
            HostPattern::Any => 0,
            HostPattern::Wildcard(_) => 1,
            HostPattern::Exact(_) => 2,
        };
        let mut seen = [0_usize; 3];
        let mut ranked: Vec<(usize, &Candidate)> = found
            .into_iter()
            .map(|(host, candidate)| {
                let rank = seen
                    .get_mut(kind(host))
                    .map_or(0, |count| std::mem::replace(count, *count + 1));
                (rank, candidate)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        pair.left_out = ranked.len().saturating_sub(most);
        for (_, candidate) in ranked.into_iter().take(most) {
            match self.target(candidate) {
                Some(target) => pair.targets.push(target),
                None => pair.not_tried.push(format!(
                    "{}{}: the door answers every host, so there is none to compare with",
                    candidate.host, candidate.path
                )),
            }
        }
        pair
    }

    fn target(&self, candidate: &Candidate) -> Option<Target> {
        let (host, path) = (&candidate.host, &candidate.path);
        let controls = self.controls(host, path);
        let first = controls.first()?;
        let certificate = self.at.certificate(host);
        Some(Target {
            expected: match self.at.fate(host, path) {
                Fate::Redirected => Expected::Redirect,
                Fate::Served | Fate::Unknown => Expected::Nothing,
            },
            has_certificate: certificate.is_some() && certificate != self.at.certificate(&first.host),
            host: host.clone(),
            path: path.clone(),
            ingress: candidate.ingress.to_string(),
            controls,
        })
    }

    /// What exists nowhere: a host of a domain of its own, and one beside the host, which the same certificate may cover.
    fn controls(&self, host: &str, path: &str) -> Vec<Control> {
        let beside = host.split_once('.').map(|(_, parent)| parent);
        let beside = beside.filter(|parent| parent.contains('.'));
        let beside = beside.map(|parent| format!("{ANY_LABEL}-nowhere.{parent}"));
        let is_unknown = |control: &Control| self.at.fate(&control.host, &control.path) == Fate::Unknown;
        let exists_nowhere = |control: &Control| {
            let mut doors = self.all.iter();
            doors.all(|door| door.fate(&control.host, &control.path) == Fate::Unknown)
        };
        let of = |host: &str, path: &str| Control {
            host: host.to_owned(),
            path: path.to_owned(),
        };
        let mut controls = vec![of(self.unknown, path)];
        controls.retain(is_unknown);
        // What the other door answers as well would look like the host itself.
        controls.extend(beside.map(|beside| of(&beside, path)).filter(exists_nowhere));
        if controls.is_empty() {
            // A door may answer hosts that it does not know at this path, and not the ones that it knows.
            controls.extend(Some(of(host, UNLIKELY)).filter(exists_nowhere));
        }
        controls
    }
}
