//! Attacks: which shots are fired at which door, and when it is enough.

use std::cell::Cell as Counter;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::answer::{End, Outcome};
use crate::connect::{ClientIdentity, Tls, Way};
use crate::field::{Attacked, Field, Loaded, Protocol};
use crate::judge::{Judge, Shot, Verdict};
use crate::plan::{Http2, Pair, Plan, Target};
use crate::report::{self, Cell, Leak, Report};
use crate::{http1, http2};

/// How often a difference must be there.
const ROUNDS: usize = 3;
/// After how many attacks with one host that told nothing no more are tried: each of them takes long.
const MOST_UNTOLD: usize = 5;
/// How many reasons why something could not be tried are kept for one pair.
const MOST_REASONS: usize = 10;
/// The attack with a session of another door.
const RESUMING: &str = "session-of-its-door";

/// What an attacker has.
#[derive(Debug)]
pub struct Options {
    /// The certificate with which it proves who it is.
    pub identity: Option<ClientIdentity>,
    /// How long an answer may take.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: None,
            patience: Duration::from_secs(5),
        }
    }
}

/// How far it has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Hosts that have been tried, once for each door.
    pub done: usize,
    /// Hosts that are to be tried.
    pub total: usize,
}

/// Tries everything. Must be called within a `LocalSet`: pairs of doors are tried at the same time, by tasks of this thread.
///
/// # Errors
/// When the certificate of the options cannot be used. Nothing has been sent then.
pub async fn run(
    plan: Plan,
    options: &Options,
    progress: impl Fn(Progress) + 'static,
) -> Result<Report, String> {
    let identity = options.identity.as_ref();
    let field = Rc::new(Field::new(&plan, identity, options.patience)?);
    let visitors: Vec<Tls> = plan
        .pairs
        .iter()
        .map(|_| Tls::new(b"http/1.1", identity))
        .collect::<Result<_, _>>()?;

    let mut reached = JoinSet::new();
    for index in 0..field.doors().len() {
        let field = Rc::clone(&field);
        reached.spawn_local(async move { field.reach(index).await });
    }
    while let Some(ended) = reached.join_next().await {
        ended.map_err(|error| format!("a door could not be asked: {error}"))?;
    }

    let total = plan.pairs.iter().map(|pair| pair.targets.len()).sum();
    let (progress, done) = (Rc::new(progress), Rc::new(Counter::new(0)));
    let mut attacks = JoinSet::new();
    for (index, (pair, visitor)) in plan.pairs.into_iter().zip(visitors).enumerate() {
        let (field, progress, done) = (Rc::clone(&field), Rc::clone(&progress), Rc::clone(&done));
        attacks.spawn_local(async move {
            let tried = || {
                done.set(done.get() + 1);
                progress(Progress {
                    done: done.get(),
                    total,
                });
            };
            (index, attack(&field, &pair, &visitor, tried).await)
        });
    }
    let mut pairs = Vec::new();
    while let Some(ended) = attacks.join_next().await {
        pairs.push(ended.map_err(|error| format!("an attack broke off: {error}"))?);
    }
    pairs.sort_by_key(|(index, _)| *index);
    Ok(Report {
        doors: field.doors().iter().map(Attacked::report).collect(),
        pairs: pairs.into_iter().map(|(_, cell)| cell).collect(),
    })
}

/// Everything for one ordered pair. `visitor` is a client that has sessions of both doors.
async fn attack(field: &Field, pair: &Pair, visitor: &Tls, tried: impl Fn()) -> Cell {
    let mut cell = Cell {
        from: field.name(pair.from),
        at: field.name(pair.at),
        outcome: report::Outcome::Nothing,
        hosts: 0,
        hosts_left_out: pair.left_out,
        hosts_shared: pair.shared,
        tricks: 0,
        attacks: 0,
        blocked: 0,
        leaks: Vec::new(),
        not_tried: pair.not_tried.clone(),
    };
    let (Some(at), Some(home)) = (field.door(pair.at), field.door(pair.from)) else {
        return cell;
    };
    let problem = at.problem.borrow().clone();
    if pair.targets.is_empty() {
        cell.conclude();
        return cell;
    }
    if let Some(problem) = problem {
        cell.not_tried.push(problem);
        cell.conclude();
        return cell;
    }
    if at.door.http2 == Http2::Yes && !at.speaks_http2.get() {
        let reason = "the door does not answer over HTTP/2, which it should speak";
        cell.not_tried.push(reason.to_owned());
    }
    let mut tricks = BTreeSet::new();
    for target in &pair.targets {
        match ask_at_home(field, home, target).await {
            Ok(at_home) => {
                let hunt = Hunt {
                    field,
                    pair,
                    at,
                    home,
                    target,
                    visitor,
                    at_home,
                };
                hunt.try_all(&mut cell, &mut tricks).await;
            }
            Err(reason) => note(&mut cell, reason),
        }
        tried();
    }
    cell.tricks = tricks.len();
    cell.conclude();
    cell
}

/// Asks the door that has the host, as every client may: if it does not answer, that others do not either proves nothing.
/// Returns the certificate that it shows.
async fn ask_at_home(field: &Field, home: &Attacked, target: &Target) -> Result<Option<Vec<u8>>, String> {
    let Target { host, path, .. } = target;
    if home.problem.borrow().is_some() {
        return Err(format!(
            "door {} itself could not be asked for {host}, so it is not known whether the gateway serves it",
            home.door.name
        ));
    }
    let served = field.ask(home, Some(host), host, path).await;
    let nowhere = field.ask(home, Some(&field.nowhere), &field.nowhere, path).await;
    let is_unknown = served.answers.iter().all(|answer| answer.status == 404);
    if is_unknown && served.is_alike(host, &nowhere, &field.nowhere, 0) {
        return Err(format!(
            "door {} itself answers {host}{path} as a host that exists nowhere ({}); is this the configuration, and are these \
             the objects, of the gateway that runs there?",
            home.door.name,
            served.summary(0)
        ));
    }
    Ok(served.certificate)
}

/// The server name of a handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ServerName {
    /// The host that is asked for.
    Same,
    /// A host of the attacked door.
    Own,
    /// None.
    None,
}

/// All attacks with one host.
struct Hunt<'a> {
    field: &'a Field,
    pair: &'a Pair,
    at: &'a Attacked,
    home: &'a Attacked,
    target: &'a Target,
    visitor: &'a Tls,
    /// The certificate that the door of the host shows for it.
    at_home: Option<Vec<u8>>,
}

/// One of them.
#[derive(Clone, Copy)]
struct Attack {
    trick: &'static str,
    protocol: Protocol,
    server_name: ServerName,
    skip: usize,
    names_own: bool,
    /// The client has a session of the other door.
    resumes: bool,
}

impl Hunt<'_> {
    async fn try_all(&self, cell: &mut Cell, tricks: &mut BTreeSet<(Protocol, &'static str)>) {
        cell.hosts += 1;
        let loaded = self.field.load(self.pair, &self.target.host, &self.target.path);
        let controls = self.target.controls.iter();
        let controls: Vec<Loaded> = controls
            .map(|control| self.field.load(self.pair, &control.host, &control.path))
            .collect();
        let mut untold = 0;
        for attack in self.attacks(&loaded) {
            if untold >= MOST_UNTOLD {
                let reason = format!(
                    "gave up {} after {untold} attacks that told nothing",
                    self.target.host
                );
                note(cell, reason);
                return;
            }
            let verdict = self.try_one(&attack, &loaded, &controls).await;
            untold += usize::from(matches!(verdict, Verdict::Untold(_)));
            tricks.insert((attack.protocol, attack.trick));
            self.count(cell, &attack, verdict);
        }
    }

    /// What is tried: every trick, and the most telling ones under several server names.
    fn attacks(&self, loaded: &Loaded) -> Vec<Attack> {
        let server_names: &[ServerName] = match (self.at.door.tls, &self.at.door.own) {
            (false, _) => &[ServerName::None],
            (true, None) => &[ServerName::Same, ServerName::None],
            (true, Some(_)) => &[ServerName::Same, ServerName::Own, ServerName::None],
        };
        let of = |protocol, trick, skip, names_own| Attack {
            trick,
            protocol,
            server_name: ServerName::None,
            skip,
            names_own,
            resumes: false,
        };
        let first = loaded.http1.iter().map(|trick| {
            let attack = of(Protocol::Http1, trick.name, trick.skip, trick.names_own);
            (attack, trick.core)
        });
        let second = loaded.http2.iter().map(|trick| {
            let attack = of(Protocol::Http2, trick.name, trick.skip, trick.names_own);
            (attack, trick.core)
        });
        let tricks: Vec<(Attack, bool)> = first.chain(second).collect();
        let mut attacks = Vec::new();
        for (place, server_name) in server_names.iter().enumerate() {
            let tried = tricks.iter().filter(|(_, is_core)| place == 0 || *is_core);
            attacks.extend(tried.map(|(attack, _)| Attack {
                server_name: *server_name,
                ..*attack
            }));
        }
        if self.at.door.tls && self.home.door.tls {
            attacks.push(Attack {
                server_name: ServerName::Same,
                resumes: true,
                ..of(Protocol::Http1, RESUMING, 0, false)
            });
        }
        attacks
    }

    /// Fires until it is clear what it proves.
    async fn try_one(&self, attack: &Attack, loaded: &Loaded, nowhere: &[Loaded]) -> Verdict {
        let doors: Vec<&str> = self
            .field
            .doors()
            .iter()
            .map(|door| door.door.name.as_str())
            .collect();
        let judge = Judge {
            target: self.target,
            skip: attack.skip,
            names_own: attack.names_own,
            at: &self.at.door.name,
            doors: &doors,
        };
        let (mut shots, mut controls) = (Vec::new(), Vec::new());
        for _round in 0..ROUNDS {
            if attack.resumes {
                // In TLS 1.3, tickets follow the handshake.
                let Target { host, path, .. } = self.target;
                self.field
                    .ask_as(self.visitor, self.home, Some(host), host, path)
                    .await;
            }
            let shot = self.shoot(attack, loaded, attack.resumes).await;
            if attack.resumes && shot.outcome.resumed {
                return Verdict::Leak(format!("a TLS session of door {} goes on", self.home.door.name));
            }
            if let Some(verdict) = judge.evidence(&shot.outcome) {
                return verdict;
            }
            for loaded in nowhere {
                let control = self.shoot(attack, loaded, false).await;
                if let Some(verdict) = self.shows_foreign_certificate(attack, &shot, &control) {
                    return verdict;
                }
                if let Some(verdict) = judge.compare(&shot, &control) {
                    return verdict;
                }
                controls.push(control);
            }
            let is_silent = shot.outcome.is_silent(attack.skip);
            shots.push(shot);
            if is_silent {
                // It takes long, and proves nothing however often.
                break;
            }
        }
        let mut mixed = shots
            .iter()
            .flat_map(|shot| controls.iter().map(move |control| (shot, control)));
        let alike = mixed.find_map(|(shot, control)| judge.compare(shot, control));
        alike.unwrap_or_else(|| judge.conclude(&shots, &controls))
    }

    /// Whether the attacked door shows the certificate that the other one shows for the host, and that it has no reason to.
    fn shows_foreign_certificate(&self, attack: &Attack, shot: &Shot, control: &Shot) -> Option<Verdict> {
        let shown = shot.outcome.certificate.as_deref()?;
        let is_foreign = attack.server_name == ServerName::Same
            && !self.target.has_certificate
            && self.at_home.as_deref() == Some(shown)
            && control.outcome.certificate.as_deref() != Some(shown);
        is_foreign.then(|| {
            Verdict::Leak(format!(
                "the certificate is that which door {} shows for this host",
                self.home.door.name
            ))
        })
    }

    /// One shot with what is filled in.
    async fn shoot(&self, attack: &Attack, loaded: &Loaded, resumes: bool) -> Shot {
        let host = loaded.host.as_str();
        let usual = self.at.way(attack.protocol, self.server_name(attack, host));
        let way = Way {
            forged: (self.home.door.bind, host),
            tls: if resumes { self.visitor } else { usual.tls },
            ..usual
        };
        // A trick that cannot be written with this host is none.
        let nothing = || Outcome::failed(End::Handshake("it cannot be written".to_owned()));
        // With a session, the host is named as usual.
        let name = if attack.trick == RESUMING {
            "host"
        } else {
            attack.trick
        };
        let outcome = match attack.protocol {
            Protocol::Http1 => match loaded.http1.iter().find(|trick| trick.name == name) {
                Some(trick) => {
                    let way = Way {
                        opening: trick.opening,
                        ..way
                    };
                    self.field
                        .fire(http1::shoot(&way, &trick.message, trick.skip))
                        .await
                }
                None => nothing(),
            },
            Protocol::Http2 => match loaded.http2.iter().find(|trick| trick.name == name) {
                Some(trick) => self.field.fire(http2::shoot(&way, &trick.message)).await,
                None => nothing(),
            },
        };
        Shot {
            host: host.to_owned(),
            outcome,
        }
    }

    fn server_name<'n>(&'n self, attack: &Attack, host: &'n str) -> Option<&'n str> {
        match attack.server_name {
            ServerName::Same => Some(host),
            ServerName::Own => self.at.door.own.as_ref().map(|own| own.host.as_str()),
            ServerName::None => None,
        }
    }

    fn count(&self, cell: &mut Cell, attack: &Attack, verdict: Verdict) {
        cell.attacks += 1;
        let Target {
            host, path, ingress, ..
        } = self.target;
        let protocol = attack.protocol.name();
        match verdict {
            Verdict::Blocked => cell.blocked += 1,
            Verdict::Leak(why) => cell.leaks.push(Leak {
                host: host.clone(),
                path: path.clone(),
                ingress: ingress.clone(),
                trick: attack.trick.to_owned(),
                protocol,
                server_name: self.server_name(attack, host).map(str::to_owned),
                why,
            }),
            Verdict::Untold(why) => {
                note(
                    cell,
                    format!("{host} with `{}` over {protocol}: {why}", attack.trick),
                );
            }
        }
    }
}

fn note(cell: &mut Cell, reason: String) {
    if cell.not_tried.len() < MOST_REASONS && !cell.not_tried.contains(&reason) {
        cell.not_tried.push(reason);
    }
}
