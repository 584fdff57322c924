//! Problems of many objects, shared: who has two versions compares pointers and not texts.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::problem::{ObjectRef, Problem};
use crate::sorted::{Keyed, Side, Sorted};

/// Lists that are replaced one by one. Each moves pointers of those behind it.
const FEW: usize = 64;

/// Problems by object. A clone shares everything; a change afterwards copies pointers and no text. A list that is put
/// again as it was stays the same one, so that what differs from an earlier version is found without looking at what does
/// not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProblemLists(Sorted<Arc<ProblemList>>);

/// The problems of one object, or those that were found because of it.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemList {
    /// Whose list it is.
    pub object: ObjectRef,
    /// What is wrong; never empty.
    pub problems: Box<[Arc<Problem>]>,
}

impl Keyed for Arc<ProblemList> {
    fn order(&self, other: &Self) -> Ordering {
        self.object.cmp(&other.object)
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}

impl ProblemLists {
    /// Replaces the list of an object. Returns whether it was another one.
    pub fn put<P: Into<Arc<Problem>>>(
        &mut self,
        object: &ObjectRef,
        problems: impl IntoIterator<Item = P>,
    ) -> bool {
        let before = self.0.get(|list| list.object.cmp(object));
        match (before, self.list(object, problems)) {
            (None, None) => return false,
            (Some(before), Some(list)) if Arc::ptr_eq(before, &list) => return false,
            (Some(_), None) => {
                self.0.remove(|list| list.object.cmp(object));
            }
            (_, Some(list)) => {
                self.0.insert(list);
            }
        }
        true
    }

    /// Replaces all lists.
    pub fn replace<P: Into<Arc<Problem>>>(&mut self, lists: BTreeMap<ObjectRef, Vec<P>>) {
        let lists = lists.into_iter();
        let lists = lists.filter_map(|(object, problems)| self.list(&object, problems));
        self.0 = Sorted::in_order(lists.collect());
    }

    /// Replaces some lists. Many of them cost no more than all.
    pub fn update<P: Into<Arc<Problem>>>(&mut self, lists: BTreeMap<ObjectRef, Vec<P>>) {
        if lists.len() <= FEW {
            for (object, problems) in lists {
                self.put(&object, problems);
            }
            return;
        }
        let others = self.lists().filter(|list| !lists.contains_key(&list.object));
        let mut all: Vec<Arc<ProblemList>> = others.cloned().collect();
        let lists = lists.into_iter();
        all.extend(lists.filter_map(|(object, problems)| self.list(&object, problems)));
        // Two runs, each in order, are merged in one pass.
        all.sort_by(|left, right| left.object.cmp(&right.object));
        self.0 = Sorted::in_order(all);
    }

    /// The list as it is to be: that of before if it is equal, none without problems.
    fn list<P: Into<Arc<Problem>>>(
        &self,
        object: &ObjectRef,
        problems: impl IntoIterator<Item = P>,
    ) -> Option<Arc<ProblemList>> {
        let problems: Box<[Arc<Problem>]> = problems.into_iter().map(Into::into).collect();
        if problems.is_empty() {
            return None;
        }
        let before = self.0.get(|list| list.object.cmp(object));
        Some(match before.filter(|list| list.problems == problems) {
            Some(same) => Arc::clone(same),
            None => Arc::new(ProblemList {
                object: object.clone(),
                problems,
            }),
        })
    }

    /// The problems in the list of an object.
    #[must_use]
    pub fn get(&self, object: &ObjectRef) -> &[Arc<Problem>] {
        let list = self.0.get(|list| list.object.cmp(object));
        list.map(|list| &*list.problems).unwrap_or_default()
    }

    /// Every list, in order of the objects.
    pub fn lists(&self) -> impl ExactSizeIterator<Item = &Arc<ProblemList>> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists().len() == 0
    }

    /// Every problem, list by list.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Problem>> {
        self.lists().flat_map(|list| &list.problems)
    }

    /// The lists that are not the same as in an `earlier` version: those that were there, and those that are here now.
    #[must_use]
    pub fn difference<'p>(&'p self, earlier: &'p Self) -> (Vec<&'p ProblemList>, Vec<&'p ProblemList>) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        self.0.differing(&earlier.0, |side, list| match side {
            Side::Earlier => gone.push(&**list),
            Side::Now => come.push(&**list),
        });
        (gone, come)
    }

    /// The objects whose lists are not the same as in an `earlier` version.
    #[must_use]
    pub fn differing(&self, earlier: &Self) -> BTreeSet<ObjectRef> {
        let (gone, come) = self.difference(earlier);
        gone.into_iter()
            .chain(come)
            .map(|list| list.object.clone())
            .collect()
    }
}

/// By the objects that they are about.
impl FromIterator<Problem> for ProblemLists {
    fn from_iter<T: IntoIterator<Item = Problem>>(problems: T) -> Self {
        let mut of_each: BTreeMap<ObjectRef, Vec<Problem>> = BTreeMap::new();
        for problem in problems {
            of_each.entry(problem.object.clone()).or_default().push(problem);
        }
        let mut lists = Self::default();
        lists.replace(of_each);
        lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Kind, Severity};

    fn object(name: &str) -> ObjectRef {
        ObjectRef::global(Kind::File, name)
    }

    fn problem(name: &str, message: &str) -> Problem {
        Problem::of_file(Severity::Warning, name, message)
    }

    #[test]
    fn only_lists_with_another_content_differ() {
        let before: ProblemLists = ["a", "b", "c"]
            .map(|name| problem(name, "wrong"))
            .into_iter()
            .collect();
        let mut lists = before.clone();
        lists.put(&object("a"), [problem("a", "wrong")]);
        assert_eq!(lists.differing(&before), BTreeSet::new());

        lists.put(&object("a"), [problem("a", "worse")]);
        lists.put::<Problem>(&object("b"), []);
        lists.put(&object("d"), [problem("d", "wrong")]);
        assert_eq!(lists.differing(&before), ["a", "b", "d"].map(object).into());
        assert_eq!(*lists.get(&object("a")), [Arc::new(problem("a", "worse"))]);
        assert_eq!(before.iter().count(), 3, "the earlier version stays as it was");

        let many = |message: &'static str| {
            let lists = (0..1_000).rev().map(|number| number.to_string());
            let lists = lists.map(move |name| (object(&name), vec![problem(&name, message)]));
            lists.collect::<BTreeMap<_, _>>()
        };
        let mut updated = before.clone();
        updated.update(many("wrong"));
        assert!(updated.lists().is_sorted_by_key(|list| &list.object));
        assert_eq!(updated.differing(&before).len(), 1_000);
        let earlier = updated.clone();
        updated.update(many("wrong"));
        assert_eq!(updated.differing(&earlier), BTreeSet::new());

        let mut replaced = before.clone();
        let same = |name: &str| (object(name), vec![problem(name, "wrong")]);
        replaced.replace([same("a"), same("b"), (object("c"), vec![])].into());
        assert_eq!(replaced.differing(&before), [object("c")].into());
    }
}
