//! The nearest of many, without keeping the others.

use std::collections::BinaryHeap;

/// The smallest of what is offered, as many as are asked for.
pub(super) struct Nearest<T> {
    most: usize,
    kept: BinaryHeap<T>,
    left_out: usize,
}

impl<T: Ord> Nearest<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            kept: BinaryHeap::new(),
            left_out: 0,
        }
    }

    /// Keeps it as long as not so many smaller ones are offered.
    pub(super) fn offer(&mut self, one: T) {
        self.kept.push(one);
        if self.kept.len() > self.most {
            self.kept.pop();
            self.left_out += 1;
        }
    }

    /// How many there were.
    pub(super) fn offered(&self) -> usize {
        self.kept.len() + self.left_out
    }

    /// Those that were kept, in order, and how many were not.
    pub(super) fn into_sorted(self) -> (Vec<T>, usize) {
        (self.kept.into_sorted_vec(), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::Nearest;

    #[test]
    fn no_more_than_asked_for_are_kept() {
        let mut nearest = Nearest::new(3);
        for number in [5, 1, 4, 1, 3, 9] {
            nearest.offer(number);
            assert!(nearest.kept.len() <= 3);
        }
        assert_eq!(nearest.offered(), 6);
        assert_eq!(nearest.into_sorted(), (vec![1, 1, 3], 3));
        let mut none = Nearest::new(0);
        none.offer(1);
        assert_eq!(none.into_sorted(), (vec![], 1));
    }
}
