//! Basic authentication: from a Secret to its users.

use std::collections::HashMap;
use std::num::NonZeroU8;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use filter::basic_auth::BasicAuth;
use filter::htpasswd::{Flaw, Reading, Users};
use filter::rate::Rate;
use filter::rate_table::{LimiterId, RateTable};
use filter::verified::Verified;
use resource::{BasicAuthSpec, ClusterView, Kind, ObjectRef, Secret, Severity, UsersForm};
use route::ObjectKey;

use crate::rule::ObjectReport;

/// How many of the flaws of one Secret are told each by itself.
const TOLD: usize = 10;

/// How many wrong passwords a client may send at one Ingress: so many at once, and then one a second.
pub const WRONG_PASSWORDS: Rate = Rate::one_a_second(NonZeroU8::MIN.saturating_add(19));

/// Places for the failures of so many clients; 1 MiB.
const FAILING_CLIENTS: usize = 1 << 16;

/// A request needs the name and password of a user.
#[derive(Debug, Clone)]
pub struct PasswordFilter {
    /// What clients are asked for, and what the backend is told.
    pub settings: BasicAuth,
    /// Who may come in.
    pub users: Arc<Users>,
    /// Whose failures count together: those of the Ingress.
    pub failures: LimiterId,
    /// What the door remembers.
    pub memory: Arc<PasswordMemory>,
}

/// What a door remembers of passwords: which ones were right, and how many were wrong.
#[derive(Debug)]
pub struct PasswordMemory {
    /// Passwords that were verified. `None` where the system has no randomness for its key: each is verified anew.
    pub verified: Option<Verified>,
    /// Wrong passwords, of each client at each Ingress.
    pub failures: RateTable,
}

/// The users of Secrets, read once for as long as a filter has them.
#[derive(Debug, Default)]
pub(super) struct KnownUsers(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    known: HashMap<(ObjectKey, UsersForm), Known>,
    /// With so many of them, those that no filter has any more are put away.
    tidied_at: usize,
}

#[derive(Debug)]
struct Known {
    secret: Arc<Secret>,
    users: Option<Arc<Users>>,
    flaws: Arc<[Flaw]>,
}

/// Why a Secret has no users.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoUsers {
    #[error("has no entry `auth`, where `auth-file` has the users")]
    NoFile,
    #[error("has {0} entries, of which none is `auth`; the users must be in one entry")]
    Entries(usize),
    #[error("is of type `kubernetes.io/basic-auth` and has no `username` or no `password`")]
    Pair,
    #[error("lets nobody in: it has no user with a hash that can be verified")]
    Nobody,
}

/// Two say the same, and share their state.
impl PartialEq for PasswordFilter {
    fn eq(&self, other: &Self) -> bool {
        let users = Arc::ptr_eq(&self.users, &other.users) || self.users == other.users;
        users
            && self.settings == other.settings
            && self.failures == other.failures
            && Arc::ptr_eq(&self.memory, &other.memory)
    }
}

impl Default for PasswordMemory {
    fn default() -> Self {
        let mut key = [0; 32];
        let keyed = aws_lc_rs::rand::fill(&mut key);
        Self {
            verified: keyed.ok().map(|()| Verified::new(&key)),
            failures: RateTable::new(FAILING_CLIENTS, Instant::now()),
        }
    }
}

impl KnownUsers {
    /// The users that a filter of this object names, and what is wrong with some of them.
    ///
    /// # Errors
    /// When nobody could come in.
    pub(super) fn find(
        &self,
        spec: &BasicAuthSpec,
        view: &ClusterView,
        field: &str,
        report: &mut ObjectReport<'_>,
    ) -> Result<Arc<Users>, String> {
        let name = &spec.secret;
        let Some(secret) = view.secret(name) else {
            return Err(match view.unread(&ObjectRef::namespaced(Kind::Secret, name)) {
                Some(why) => format!("Secret `{name}` {why}"),
                None => format!("Secret `{name}` does not exist"),
            });
        };
        let (users, flaws) = self
            .read(secret, spec.form)
            .map_err(|why| format!("Secret `{name}` {why}"))?;
        for flaw in flaws.iter().take(TOLD) {
            report.add(Severity::Error, field, format!("Secret `{name}`, {flaw}"));
        }
        let more = flaws.len().saturating_sub(TOLD);
        if more > 0 {
            let message = format!("Secret `{name}`: {more} more of its users are wrong");
            report.add(Severity::Error, field, message);
        }
        users.ok_or_else(|| format!("Secret `{name}` {}", NoUsers::Nobody))
    }

    #[expect(clippy::type_complexity, reason = "the two halves of what is known")]
    fn read(
        &self,
        secret: &Arc<Secret>,
        form: UsersForm,
    ) -> Result<(Option<Arc<Users>>, Arc<[Flaw]>), NoUsers> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (secret.key.clone(), form);
        if let Some(found) = shelf
            .known
            .get(&key)
            .filter(|found| Arc::ptr_eq(&found.secret, secret))
        {
            return Ok((found.users.clone(), Arc::clone(&found.flaws)));
        }
        let Reading { users, flaws } = users_of(secret, form)?;
        let found = Known {
            secret: Arc::clone(secret),
            users: users.map(Arc::new),
            flaws: flaws.into(),
        };
        let outcome = (found.users.clone(), Arc::clone(&found.flaws));
        if shelf.known.len() >= shelf.tidied_at {
            let is_used = |known: &Known| {
                known
                    .users
                    .as_ref()
                    .is_some_and(|users| Arc::strong_count(users) > 1)
            };
            shelf.known.retain(|_, known| is_used(known));
            shelf.tidied_at = (shelf.known.len() * 2).max(64);
        }
        shelf.known.insert(key, found);
        Ok(outcome)
    }
}

fn users_of(secret: &Secret, form: UsersForm) -> Result<Reading, NoUsers> {
    let entry = |name: &str| secret.data.get(name).map(|content| &**content);
    let lines = |content: &[u8]| Ok(Users::from_lines(content));
    let is_pair = &*secret.kind == "kubernetes.io/basic-auth";
    match form {
        UsersForm::File => lines(entry("auth").ok_or(NoUsers::NoFile)?),
        UsersForm::Map => Ok(Users::from_entries(
            secret.data.iter().map(|(name, content)| (&**name, &**content)),
        )),
        UsersForm::Only | UsersForm::Any if is_pair => {
            let (name, password) = entry("username").zip(entry("password")).ok_or(NoUsers::Pair)?;
            Ok(Reading {
                users: Some(Users::from_pair(name, password).ok_or(NoUsers::Pair)?),
                flaws: Vec::new(),
            })
        }
        UsersForm::Only | UsersForm::Any => {
            let auth = entry("auth").filter(|_| form == UsersForm::Any);
            let mut entries = secret.data.values();
            match (auth, entries.next(), entries.next()) {
                (Some(content), _, _) => lines(content),
                (None, Some(content), None) => lines(content),
                (None, _, _) => Err(NoUsers::Entries(secret.data.len())),
            }
        }
    }
}
