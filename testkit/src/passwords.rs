//! Users, stored hashes, and credentials. Who counts is found a second time, line by line.

use std::collections::BTreeMap;

use filter::credentials::Credentials;
use filter::htpasswd::{StoredHash, Users};

/// Holds for every text that claims to be an htpasswd file, and for its lines as `Authorization` fields.
pub fn htpasswd_properties(text: &[u8]) {
    let reading = Users::from_lines(text);
    let mut first = BTreeMap::new();
    let mut has_a_colon = false;
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        credentials_properties(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        has_a_colon |= line.contains(&b':');
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        if let [name, hash, ..] = fields[..]
            && !name.is_empty()
        {
            first.entry(name).or_insert(hash);
        }
    }
    let hashes = first
        .into_iter()
        .filter_map(|(name, hash)| Some((name, (hash, StoredHash::parse(hash).ok()?))));
    let first: BTreeMap<_, _> = hashes.collect();
    let Some(users) = reading.users else {
        assert!(first.is_empty(), "somebody can log in");
        assert!(
            !reading.flaws.is_empty() || !has_a_colon,
            "nobody can log in, and nothing is told"
        );
        return;
    };
    let mut dearest = 0;
    for (name, (hash, stored)) in &first {
        assert_eq!(
            users.claim(name).hash(),
            stored,
            "the first line of a name counts"
        );
        dearest = dearest.max(stored.scheme().work());
        let shown = format!("{users:?} {stored:?}");
        assert!(
            hash.len() < 20 || !shown.as_bytes().windows(hash.len()).any(|part| part == *hash),
            "no hash is shown"
        );
    }
    assert_eq!(users.scheme().work(), dearest, "nobody is as dear as the dearest");
    for flaw in &reading.flaws {
        assert!(flaw.to_string().len() < 200, "nothing of the Secret is told");
    }
}

fn credentials_properties(field: &[u8]) {
    let Some(read) = Credentials::from_fields([field]) else {
        return;
    };
    assert!(!read.name().contains(&b':'), "a name ends at the first colon");
    let all = [read.name(), read.password()].concat();
    assert!(!all.iter().any(u8::is_ascii_control));
    assert!(Credentials::from_fields([field, field]).is_none());
    assert_eq!(format!("{read:?}"), "Credentials(…)");
}
