//! Everything that is wrong, kept up to date by what changes.
//!
//! Each finder replaces what it found as a whole. Its lists are shared and compared by identity, so that a problem that
//! stays costs nothing: neither here nor where problems are counted, logged and written as Events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use resource::{ObjectRef, Problem, ProblemLists, Severity};

/// Who finds problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Finder {
    /// The configuration file as it is now. It is not in use then.
    Config,
    /// Files that the configuration names and that cannot be read.
    Files,
    /// The source of objects, which cannot be reached.
    Unreachable,
    /// The source, of objects as it has read them.
    Source,
    /// What is not known of the gateway's own addresses.
    Addresses,
    /// The doors, of objects as they have compiled them.
    Compilation,
    /// The compilation itself, which failed.
    Publication,
}

/// What is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// By finder. Everything else follows from it.
    found: HashMap<Finder, Vec<ProblemLists>>,
    /// What follows is being brought up to date, or was when a panic came in between.
    is_half_done: bool,
    /// In how many lists each problem is, by the object that it is about.
    of_each: HashMap<ObjectRef, BTreeMap<Arc<Problem>, usize>>,
    all: ProblemLists,
    counts: Counts,
    /// Those that have come and gone since they were last reported.
    come: BTreeSet<Arc<Problem>>,
    gone: BTreeSet<Arc<Problem>>,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    pub(crate) notes: usize,
}

impl Counts {
    fn of(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        }
    }
}

impl Problems {
    /// All of them, by the objects that they are about, each once.
    pub(crate) fn all(&self) -> &ProblemLists {
        &self.all
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether this one has found something.
    pub(crate) fn has(&self, finder: Finder) -> bool {
        let mut lists = self.found.get(&finder).into_iter().flatten();
        lists.any(|list| !list.is_empty())
    }

    /// Those that are new since this was last called, sorted.
    pub(crate) fn news(&mut self) -> Vec<Arc<Problem>> {
        self.gone.clear();
        std::mem::take(&mut self.come).into_iter().collect()
    }

    /// Replaces what one finder has found, if it is not the same. Returns whether it was not.
    pub(crate) fn set(&mut self, finder: Finder, problems: impl IntoIterator<Item = Problem>) -> bool {
        let problems: ProblemLists = problems.into_iter().collect();
        let before = self.found.get(&finder).map(Vec::as_slice).unwrap_or_default();
        let is_same = before.iter().eq([&problems]) || before.is_empty() && problems.is_empty();
        if !is_same || self.is_half_done {
            self.replace(finder, &[problems]);
        }
        !is_same
    }

    /// Replaces what one finder has found. The work is in proportion to the lists that are not the same as before.
    pub(crate) fn replace(&mut self, finder: Finder, now: &[ProblemLists]) {
        let before = self.found.insert(finder, now.to_vec()).unwrap_or_default();
        if std::mem::replace(&mut self.is_half_done, true) {
            self.count_anew();
        } else {
            self.count(&before, now);
        }
        self.is_half_done = false;
    }

    /// After a panic: from what has been found alone. What was reported before is not news.
    fn count_anew(&mut self) {
        let counted = self.of_each.values().flat_map(BTreeMap::keys);
        let reported = counted.filter(|problem| !self.come.contains(*problem));
        let reported: BTreeSet<_> = reported.chain(&self.gone).cloned().collect();
        *self = Self {
            found: std::mem::take(&mut self.found),
            is_half_done: true,
            ..Self::default()
        };
        for lists in self.found.values().cloned().collect::<Vec<_>>() {
            self.count(&[], &lists);
        }
        self.gone = reported.difference(&self.come).cloned().collect();
        self.come.retain(|problem| !reported.contains(problem));
    }

    /// Takes note of what is in other lists than before.
    fn count(&mut self, before: &[ProblemLists], now: &[ProblemLists]) {
        let none = ProblemLists::default();
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for index in 0..now.len().max(before.len()) {
            let [before, now] = [before, now].map(|lists| lists.get(index).unwrap_or(&none));
            let (mut left, mut joined) = now.difference(before);
            gone.append(&mut left);
            come.append(&mut joined);
        }
        let mut touched = BTreeSet::new();
        // What comes first, so that a problem that changes its list stays one.
        for problem in come.into_iter().flat_map(|list| &list.problems) {
            if self.add(problem) {
                touched.insert(problem.object.clone());
            }
        }
        for problem in gone.into_iter().flat_map(|list| &list.problems) {
            if self.remove(problem) {
                touched.insert(problem.object.clone());
            }
        }
        let touched = touched.into_iter().map(|object| {
            let problems = self.of_each.get(&object).into_iter().flat_map(BTreeMap::keys);
            let problems: Vec<Arc<Problem>> = problems.cloned().collect();
            (object, problems)
        });
        self.all.update(touched.collect());
    }

    /// Returns whether it was not there.
    fn add(&mut self, problem: &Arc<Problem>) -> bool {
        #[cfg(test)]
        tests::panic_if_asked();
        let of_object = match self.of_each.get_mut(&problem.object) {
            Some(of_object) => of_object,
            None => self.of_each.entry(problem.object.clone()).or_default(),
        };
        if let Some(lists) = of_object.get_mut(problem) {
            *lists += 1;
            return false;
        }
        of_object.insert(Arc::clone(problem), 1);
        *self.counts.of(problem.severity) += 1;
        if !self.gone.remove(problem) {
            self.come.insert(Arc::clone(problem));
        }
        true
    }

    /// Returns whether it is not there any more.
    fn remove(&mut self, problem: &Arc<Problem>) -> bool {
        #[cfg(test)]
        tests::panic_if_asked();
        let Some(of_object) = self.of_each.get_mut(&problem.object) else {
            return false;
        };
        match of_object.get_mut(problem) {
            Some(1) => {
                of_object.remove(problem);
            }
            Some(lists) => {
                *lists -= 1;
                return false;
            }
            None => return false,
        }
        if of_object.is_empty() {
            self.of_each.remove(&problem.object);
        }
        *self.counts.of(problem.severity) -= 1;
        if !self.come.remove(problem) {
            self.gone.insert(Arc::clone(problem));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use proptest::prelude::*;
    use resource::Kind;

    use super::*;

    thread_local! {
        /// After how many steps of counting there is a panic.
        static PANIC_AFTER: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Stands for a fault of the program while problems are counted.
    pub(super) fn panic_if_asked() {
        match PANIC_AFTER.take() {
            None => {}
            // Without a word in the output.
            Some(0) => resume_unwind(Box::new("a fault")),
            Some(left) => PANIC_AFTER.set(Some(left - 1)),
        }
    }

    fn problem(object: u8, message: u8) -> Problem {
        let severity = [Severity::Error, Severity::Warning, Severity::Note][usize::from(message % 3)];
        Problem::of_file(
            severity,
            &format!("object-{object}"),
            format!("message {message}"),
        )
    }

    fn texts<'p>(problems: impl IntoIterator<Item = &'p Arc<Problem>>) -> BTreeSet<String> {
        problems.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_stays_is_neither_news_nor_looked_at() {
        let mut problems = Problems::default();
        assert!(problems.set(Finder::Config, [problem(1, 0)]));
        assert_eq!(problems.news().len(), 1);
        assert!(!problems.set(Finder::Config, [problem(1, 0)]), "the same again");
        assert!(problems.set(Finder::Files, [problem(1, 0), problem(1, 1)]));
        assert_eq!(texts(&problems.news()), texts(&[Arc::new(problem(1, 1))]));

        // What moves from one finder to another stays, even if it is nowhere for a moment.
        problems.set(Finder::Files, []);
        problems.set(Finder::Config, []);
        assert_eq!(problems.counts(), Counts::default());
        assert_eq!(problems.all().iter().count(), 0);
        problems.set(Finder::Addresses, [problem(1, 1)]);
        assert!(problems.news().is_empty());
        // And after that was reported it would be news.
        problems.set(Finder::Addresses, []);
        assert!(problems.news().is_empty());
        problems.set(Finder::Addresses, [problem(1, 1)]);
        assert_eq!(problems.news().len(), 1);
    }

    proptest! {
        /// The same as counting everything each time, also after panics halfway.
        #[test]
        fn all_counts_and_news_are_those_of_a_count_from_scratch(
            steps in prop::collection::vec(
                (
                    0..3_usize,
                    0..2_usize,
                    prop::collection::vec((0..4_u8, 0..4_u8), 0..8),
                    prop::option::weighted(0.2, 0..8_usize),
                ),
                1..30,
            )
        ) {
            let finders = [Finder::Source, Finder::Compilation, Finder::Config];
            let (mut problems, mut known) = (Problems::default(), BTreeSet::new());
            let mut lists: Vec<Vec<ProblemLists>> = vec![vec![ProblemLists::default(); 2]; 3];
            for (finder, place, found, panic_after) in steps {
                let mut by_object: BTreeMap<ObjectRef, Vec<Problem>> = BTreeMap::new();
                for (object, message) in found {
                    // Whose list it is need not be whom it is about.
                    let owner = ObjectRef::global(Kind::File, &format!("owner-{}", object % 2));
                    by_object.entry(owner).or_default().push(problem(object, message));
                }
                lists[finder][place].replace(by_object);
                PANIC_AFTER.set(panic_after);
                let replace = || problems.replace(finders[finder], &lists[finder]);
                let has_panicked = catch_unwind(AssertUnwindSafe(replace)).is_err();
                PANIC_AFTER.set(None);
                if has_panicked {
                    // Whoever says anything next, even what was said before, mends it.
                    problems.set(Finder::Addresses, []);
                }

                let expected: BTreeSet<Arc<Problem>> =
                    lists.iter().flatten().flat_map(ProblemLists::iter).cloned().collect();
                prop_assert_eq!(problems.all().iter().cloned().collect::<BTreeSet<_>>(), expected.clone());
                prop_assert_eq!(problems.all().iter().count(), expected.len());
                let count = |severity| expected.iter().filter(|problem| problem.severity == severity).count();
                let counts = Counts {
                    errors: count(Severity::Error),
                    warnings: count(Severity::Warning),
                    notes: count(Severity::Note),
                };
                prop_assert_eq!(problems.counts(), counts);
                if place == 0 {
                    let news: Vec<Arc<Problem>> = expected.difference(&known).cloned().collect();
                    prop_assert_eq!(problems.news(), news);
                    known = expected;
                }
            }
        }
    }
}
