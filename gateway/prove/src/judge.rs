//! What an answer proves.

use crate::answer::{Answer, Outcome};
use crate::plan::{Expected, Target};

/// What a gateway answers to a request for a host that it does not know, or to one that is malformed. An application may
/// answer so as well, but not to an ordinary request of its own (see `ask_at_home`).
const REFUSED: &[u16] = &[400, 404, 405, 408, 411, 413, 414, 417, 421, 431, 501, 505];

/// What came of one attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Blocked,
    /// What shows the leak.
    Leak(String),
    /// Why it cannot be said.
    Untold(String),
}

/// One shot with a name of its own.
pub(crate) struct Shot {
    /// The host that was asked for.
    pub(crate) host: String,
    pub(crate) outcome: Outcome,
}

/// What an attack is judged by.
pub(crate) struct Judge<'a> {
    pub(crate) target: &'a Target,
    /// How many answers come first that are the door's own.
    pub(crate) skip: usize,
    /// The door may answer for a host of its own.
    pub(crate) names_own: bool,
    /// The attacked door.
    pub(crate) at: &'a str,
    /// All doors.
    pub(crate) doors: &'a [&'a str],
}

impl Judge<'_> {
    /// What one shot proves by itself: an answer that names another door.
    pub(crate) fn evidence(&self, shot: &Outcome) -> Option<Verdict> {
        let mut named = shot.judged(self.skip).iter();
        let others = || self.doors.iter().copied().filter(|door| *door != self.at);
        let (status, door) = named.find_map(|answer| Some((answer.status, answer.door(others())?)))?;
        Some(Verdict::Leak(format!(
            "the answer ({status}) comes from a backend to which door {door} had sent the request"
        )))
    }

    /// What a shot proves beside one for a host that exists nowhere; `None`: they differ.
    pub(crate) fn compare(&self, shot: &Shot, control: &Shot) -> Option<Verdict> {
        if self.target.expected == Expected::Redirect && self.redirects(&shot.outcome) {
            return Some(Verdict::Blocked);
        }
        let are_alike = shot
            .outcome
            .is_alike(&shot.host, &control.outcome, &control.host, self.skip);
        if !are_alike {
            return None;
        }
        if shot.outcome.is_silent(self.skip) {
            return None;
        }
        if self.names_own {
            return Some(Verdict::Blocked);
        }
        // Both could be answered by what answers every host of the other door.
        let answers = control.outcome.judged(self.skip);
        let refused = |answer: &Answer| REFUSED.contains(&answer.status);
        match answers.iter().find(|answer| !refused(answer)) {
            None => Some(Verdict::Blocked),
            Some(answer) if answer.status >= 500 => Some(Verdict::Untold(format!(
                "the door answers {} for a host that exists nowhere",
                answer.status
            ))),
            Some(answer) => Some(Verdict::Leak(format!(
                "status {}, as for a host that exists nowhere: something answers every host",
                answer.status
            ))),
        }
    }

    /// What is left to say when three shots differed from all that were for hosts that exist nowhere.
    pub(crate) fn conclude(&self, shots: &[Shot], controls: &[Shot]) -> Verdict {
        let summary = |shot: &Shot| shot.outcome.summary(self.skip);
        let unanswered = |shot: &&Shot| shot.outcome.is_silent(self.skip);
        if let Some(silent) = shots.iter().chain(controls).find(unanswered) {
            return Verdict::Untold(format!("{}, for {}", summary(silent), silent.host));
        }
        let (Some(shot), Some(control)) = (shots.last(), controls.last()) else {
            return Verdict::Untold("nothing was sent".to_owned());
        };
        // Where the door itself answers, its answers may differ from one to the next.
        let is_stable = |one: &Shot| {
            let same_host = controls.iter().filter(|other| other.host == one.host);
            same_host.into_iter().all(|other| {
                one.outcome
                    .is_alike(&one.host, &other.outcome, &other.host, self.skip)
            })
        };
        if self.names_own && !controls.iter().all(is_stable) {
            let statuses = |shot: &Shot| -> Vec<u16> {
                let answers = shot.outcome.judged(self.skip).iter();
                answers.map(|answer| answer.status).collect()
            };
            let seen = statuses(shot);
            return if controls.iter().any(|control| statuses(control) == seen) {
                Verdict::Blocked
            } else {
                Verdict::Untold(format!(
                    "the answers of the door's own host differ each time ({} and {})",
                    summary(shot),
                    summary(control)
                ))
            };
        }
        let (seen, usual) = (summary(shot), summary(control));
        if seen == usual {
            return Verdict::Leak(format!(
                "{seen}, with other bytes than for a host that exists nowhere ({})",
                control.host
            ));
        }
        Verdict::Leak(format!(
            "{seen} instead of {usual} as for a host that exists nowhere ({})",
            control.host
        ))
    }

    /// Whether it is redirected to the door that has the host, and nothing else.
    fn redirects(&self, shot: &Outcome) -> bool {
        let answers = shot.judged(self.skip);
        let prefix = format!("https://{}", self.target.host);
        let is_there = |answer: &Answer| {
            let location = answer.location().unwrap_or_default().to_ascii_lowercase();
            let rest = location.strip_prefix(&prefix);
            answer.status == 308 && rest.is_some_and(|rest| rest.starts_with(['/', ':']))
        };
        // What follows in the same connection is refused like everything else.
        answers.iter().any(is_there)
            && answers
                .iter()
                .all(|answer| is_there(answer) || matches!(answer.status, 400..=499))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{End, parse};

    fn target(expected: Expected) -> Target {
        Target {
            host: "a.test".to_owned(),
            path: "/".to_owned(),
            ingress: "shop/a".to_owned(),
            expected,
            has_certificate: false,
            controls: Vec::new(),
        }
    }

    fn judge(target: &Target, names_own: bool) -> Judge<'_> {
        Judge {
            target,
            skip: 0,
            names_own,
            at: "outside",
            doors: &["inside", "outside"],
        }
    }

    fn shot(host: &str, text: &str) -> Shot {
        let outcome = Outcome {
            answers: parse(text.as_bytes(), 0, true).0,
            ..Outcome::failed(End::Closed)
        };
        Shot {
            host: host.to_owned(),
            outcome,
        }
    }

    fn answer(host: &str, status: u16, body: &str) -> Shot {
        let length = body.len();
        shot(
            host,
            &format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}"),
        )
    }

    #[test]
    fn the_answer_for_a_host_that_exists_nowhere_is_no_leak() {
        let target = target(Expected::Nothing);
        let judge = judge(&target, false);
        let (ours, nowhere) = (answer("a.test", 404, "no"), answer("n.invalid", 404, "no"));
        assert_eq!(judge.compare(&ours, &nowhere), Some(Verdict::Blocked));
        assert_eq!(judge.compare(&answer("a.test", 404, "no."), &nowhere), None);
        let all = [answer("a.test", 404, "no."), answer("a.test", 404, "no.")];
        let Verdict::Leak(why) = judge.conclude(&all, &[nowhere]) else {
            panic!("other bytes tell one host from another");
        };
        assert!(why.contains("other bytes"), "{why}");
    }

    /// The hosts that exist nowhere would be answered as well, by the same rule.
    #[test]
    fn what_answers_every_host_is_a_leak() {
        let target = target(Expected::Nothing);
        let (ours, nowhere) = (answer("a.test", 200, "hi"), answer("n.invalid", 200, "hi"));
        assert!(matches!(
            judge(&target, false).compare(&ours, &nowhere),
            Some(Verdict::Leak(_))
        ));
        assert_eq!(
            judge(&target, true).compare(&ours, &nowhere),
            Some(Verdict::Blocked)
        );
        let (ours, nowhere) = (answer("a.test", 503, ""), answer("n.invalid", 503, ""));
        assert!(matches!(
            judge(&target, false).compare(&ours, &nowhere),
            Some(Verdict::Untold(_))
        ));
    }

    #[test]
    fn a_redirect_to_the_door_of_the_host_is_as_configured() {
        let redirecting = target(Expected::Redirect);
        let to = |place: &str| {
            let text = format!("HTTP/1.1 308 X\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
            judge(&redirecting, false).compare(&shot("a.test", &text), &answer("n.invalid", 404, "no"))
        };
        assert_eq!(to("https://a.test/"), Some(Verdict::Blocked));
        assert_eq!(to("https://a.test:8443/x"), Some(Verdict::Blocked));
        assert_eq!(to("https://a.test.evil.test/"), None);
        assert_eq!(to("http://a.test/"), None);
    }

    #[test]
    fn an_answer_that_names_another_door_is_a_leak() {
        let target = target(Expected::Nothing);
        let judge = judge(&target, true);
        let of = |door: &str| answer("a.test", 200, &format!("x-blastdoor-door: {door}\n"));
        assert!(judge.evidence(&of("inside").outcome).is_some());
        assert!(judge.evidence(&of("outside").outcome).is_none());
    }

    /// A door that does not answer proves nothing, and neither do answers of an application that differ each time.
    #[test]
    fn silence_and_noise_prove_nothing() {
        let target = target(Expected::Nothing);
        let silent = |host: &str| Shot {
            host: host.to_owned(),
            outcome: Outcome::failed(End::Timeout),
        };
        let judged = judge(&target, false);
        assert_eq!(judged.compare(&silent("a.test"), &silent("n.invalid")), None);
        let verdict = judged.conclude(&[silent("a.test")], &[silent("n.invalid")]);
        assert!(matches!(verdict, Verdict::Untold(_)));
        // The first answer is the door's own, and none follows.
        let later = Judge {
            skip: 1,
            ..judge(&target, true)
        };
        let unanswered = |host: &str, status, end| {
            let mut shot = answer(host, status, "");
            shot.outcome.end = end;
            shot
        };
        let ours = unanswered("a.test", 200, End::Quiet);
        for end in [End::Quiet, End::Timeout, End::Closed] {
            let control = unanswered("n.invalid", 200, end);
            assert_eq!(later.compare(&ours, &control), None);
            let verdict = later.conclude(std::slice::from_ref(&ours), &[control]);
            assert!(matches!(verdict, Verdict::Untold(_)), "{verdict:?}");
        }
        let closed = |host| unanswered(host, 200, End::Closed);
        let verdict = later.compare(&closed("a.test"), &closed("n.invalid"));
        assert_eq!(verdict, Some(Verdict::Blocked));
        // The application of the door's own host took what follows.
        let tunnel = |host| unanswered(host, 101, End::Quiet);
        let verdict = later.compare(&tunnel("a.test"), &tunnel("n.invalid"));
        assert_eq!(verdict, Some(Verdict::Blocked));
        let noisy = [answer("n.invalid", 200, "1"), answer("n.invalid", 200, "2")];
        let ours = [answer("a.test", 200, "3")];
        assert_eq!(judge(&target, true).conclude(&ours, &noisy), Verdict::Blocked);
        let other = [answer("a.test", 302, "3")];
        assert!(matches!(
            judge(&target, true).conclude(&other, &noisy),
            Verdict::Untold(_)
        ));
        let constant = [answer("n.invalid", 400, ""), answer("n.invalid", 400, "")];
        assert!(matches!(
            judge(&target, true).conclude(&ours, &constant),
            Verdict::Leak(_)
        ));
    }
}
