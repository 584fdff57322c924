//! How near hosts are to each other, for whoever has misspelt one.

/// How far two hosts are from each other: what is left of the longer one without their common beginning and end.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let shorter = left.len().min(right.len());
    let same = |(one, other): &(&u8, &u8)| one.eq_ignore_ascii_case(other);
    let end = left.iter().rev().zip(right.iter().rev()).take_while(same).count();
    let begin = left.iter().zip(right).take_while(same).count().min(shorter - end);
    left.len().max(right.len()) - end - begin
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn near_hosts_share_their_ends() {
        let mut hosts = ["other.example", "shop.test", "www.shop.test", "shop.tset", "a.b"];
        hosts.sort_by_key(|host| distance("ww.shop.test", host));
        assert_eq!(
            hosts,
            ["www.shop.test", "shop.test", "shop.tset", "a.b", "other.example"]
        );
        assert_eq!(distance("a.test", "a.test"), 0);
        assert_eq!(distance("", "a"), 1);
    }
}
