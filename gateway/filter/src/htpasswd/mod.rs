//! Users and the hashes of their passwords, as Secrets hold them, and the question whether a password is a user's.
//!
//! Whoever asks learns nothing about who exists: an unknown user is verified against a hash that nobody has, of the dearest
//! scheme among the users', and a wrong password of a user with a cheaper one works on until it has cost as much. How much
//! was worked is counted, so that this can be proved without a clock.

mod crypt64;
mod md5_crypt;
mod scheme;
mod stored;
#[cfg(test)]
mod tests;

use std::fmt;

pub use scheme::{MAX_BCRYPT_COST, MAX_ROUNDS, Scheme};
pub use stored::{StoredHash, UnusableHash};

/// The users of one Secret who can log in: at least one. `Debug` shows how many, and nobody's name or hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Users {
    /// By name.
    users: Box<[User]>,
    decoy: StoredHash,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: Box<[u8]>,
    hash: StoredHash,
}

/// What was read: `None` where nobody can log in, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Those who can log in.
    pub users: Option<Users>,
    /// What is wrong with others, in the order of the text.
    pub flaws: Vec<Flaw>,
}

/// Something wrong with one user. Its text repeats nothing that the Secret holds but the names of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub place: Place,
    /// What.
    pub what: What,
}

/// Where in the Secret a user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of an htpasswd file, from 1.
    Line(usize),
    /// An entry of the Secret.
    Entry(Box<str>),
}

/// What is wrong with a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The user cannot log in.
    Unusable(UnusableHash),
    /// A line without a `:`, or without a name in front of it.
    NoUser,
    /// An earlier line names the same user, and counts.
    Repeated,
}

/// Whose password was asked for: a user's, or nobody's, of which only the answer tells.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    users: &'a Users,
    hash: &'a StoredHash,
    known: bool,
}

/// What came of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the password is the user's.
    pub accepted: bool,
    /// How much was worked for it, in the unit of [`Scheme::work`]: a wrong password costs the same for every name.
    pub work: u64,
}

impl Users {
    /// Reads the lines of an htpasswd file: `user:hash`, and `:comment` if there is one. Empty lines and those that begin
    /// with `#` do not count; of two lines with the same name the first does.
    #[must_use]
    pub fn from_lines(text: &[u8]) -> Reading {
        let mut reader = Reader::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            reader.line(index + 1, line.trim_ascii());
        }
        reader.finish()
    }

    /// Reads entries that are users each: the name is the entry's, the hash its content.
    #[must_use]
    pub fn from_entries<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Reading {
        let mut reader = Reader::default();
        for (name, hash) in entries {
            reader.user(Place::Entry(name.into()), name.as_bytes(), hash.trim_ascii());
        }
        reader.finish()
    }

    /// The one user of a Secret of type `kubernetes.io/basic-auth`, whose password is written as it is. `None` if one of them
    /// is empty.
    #[must_use]
    pub fn from_pair(name: &[u8], password: &[u8]) -> Option<Self> {
        if name.is_empty() || password.is_empty() {
            return None;
        }
        let hash = StoredHash::of_plain(password);
        Some(Self {
            decoy: hash.decoy(),
            users: Box::new([User {
                name: name.into(),
                hash,
            }]),
        })
    }

    /// How dear verifying any of them is.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.decoy.scheme()
    }

    /// What is to be verified for `name`, whoever that is.
    #[must_use]
    pub fn claim(&self, name: &[u8]) -> Claim<'_> {
        let found = self.users.binary_search_by(|user| (*user.name).cmp(name));
        let user = found.ok().and_then(|place| self.users.get(place));
        Claim {
            users: self,
            hash: user.map_or(&self.decoy, |user| &user.hash),
            known: user.is_some(),
        }
    }
}

impl Claim<'_> {
    /// The hash that is verified.
    #[must_use]
    pub const fn hash(&self) -> &StoredHash {
        self.hash
    }

    /// Verifies a password: as long as the dearest of the users' hashes takes, unless it is right.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> Verdict {
        let own = self.hash.scheme().work();
        let accepted = self.hash.verify(password) && self.known;
        let dearest = self.users.scheme();
        if accepted || own >= dearest.work() {
            return Verdict { accepted, work: own };
        }
        Verdict {
            accepted,
            work: own + dearest.spend(dearest.work() - own, password),
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Users")
            .field("users", &self.users.len())
            .field("dearest", &self.scheme())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line(line) => write!(out, "line {line}: ")?,
            Place::Entry(name) => write!(out, "entry `{name}`: ")?,
        }
        match &self.what {
            What::Unusable(hash) => write!(out, "the user {hash}; this user cannot log in"),
            What::NoUser => out.write_str("no `user:hash`; nobody is read from this line"),
            What::Repeated => out.write_str("the user is named by an earlier line, which counts"),
        }
    }
}

/// Users as they are read. Whoever is named first counts, even with a hash that cannot be verified.
#[derive(Default)]
struct Reader {
    /// With the order of the text, so that of two with one name the first one stays.
    users: Vec<(Box<[u8]>, Place, Option<StoredHash>)>,
    flaws: Vec<Flaw>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &[u8]) {
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        let place = Place::Line(number);
        let mut fields = line.split(|byte| *byte == b':');
        match (fields.next(), fields.next()) {
            (Some(name), Some(hash)) if !name.is_empty() => self.user(place, name, hash),
            _ => self.flaws.push(Flaw {
                place,
                what: What::NoUser,
            }),
        }
    }

    fn user(&mut self, place: Place, name: &[u8], hash: &[u8]) {
        let hash = match StoredHash::parse(hash) {
            Ok(hash) => Some(hash),
            Err(unusable) => {
                self.flaws.push(Flaw {
                    place: place.clone(),
                    what: What::Unusable(unusable),
                });
                None
            }
        };
        self.users.push((name.into(), place, hash));
    }

    fn finish(mut self) -> Reading {
        // Stable: of equal names the first stays the first.
        self.users.sort_by(|one, other| one.0.cmp(&other.0));
        let mut users: Vec<(Box<[u8]>, Option<StoredHash>)> = Vec::with_capacity(self.users.len());
        for (name, place, hash) in self.users {
            if users.last().is_some_and(|(last, _)| *last == name) {
                // What is wrong with a line that does not count anyway is not worth a word.
                self.flaws.retain(|flaw| flaw.place != place);
                self.flaws.push(Flaw {
                    place,
                    what: What::Repeated,
                });
            } else {
                users.push((name, hash));
            }
        }
        self.flaws.sort_by_key(|flaw| match flaw.place {
            Place::Line(line) => line,
            Place::Entry(_) => 0,
        });
        let users: Box<[User]> = users
            .into_iter()
            .filter_map(|(name, hash)| Some(User { name, hash: hash? }))
            .collect();
        let dearest = users.iter().max_by_key(|user| user.hash.scheme().work());
        Reading {
            users: dearest
                .map(|user| user.hash.decoy())
                .map(|decoy| Users { users, decoy }),
            flaws: self.flaws,
        }
    }
}
