//! Bounds that namespaces share.

use std::collections::HashMap;

/// Moves what a namespace asks for beyond its `share` to the end, where a bound cuts off first. Keeps the order
/// otherwise.
pub(crate) fn share_out<T>(items: Vec<T>, share: usize, namespace: impl Fn(&T) -> &str) -> Vec<T> {
    let mut shares: HashMap<String, usize> = HashMap::new();
    let (mut first, last): (Vec<T>, Vec<T>) = items.into_iter().partition(|item| {
        let asked = shares.entry(namespace(item).to_owned()).or_default();
        *asked += 1;
        *asked <= share
    });
    first.extend(last);
    first
}

#[cfg(test)]
mod tests {
    use super::share_out;

    /// A namespace that asks for two hundred does not displace another.
    #[test]
    fn what_a_namespace_asks_for_beyond_its_share_comes_last() {
        let asked = |namespace: &'static str, numbers: std::ops::Range<usize>| {
            numbers.map(move |number| (namespace, number)).collect::<Vec<_>>()
        };
        let all = [
            asked("greedy", 0..200),
            asked("modest", 0..2),
            asked("greedy", 200..201),
        ]
        .concat();
        let expected = [
            asked("greedy", 0..50),
            asked("modest", 0..2),
            asked("greedy", 50..201),
        ]
        .concat();
        assert_eq!(share_out(all, 50, |(namespace, _)| namespace), expected);
    }
}
