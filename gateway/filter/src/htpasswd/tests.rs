//! Hashes that other programs made: `htpasswd` and `openssl passwd` of Debian 12, and its `crypt(3)`.

use super::*;

const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[rustfmt::skip]
const VECTORS: [(&str, &str); 43] = [
    ("secret", "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"),
    ("secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
    ("secret", "$2y$06$abcdefghijklmnopqrstuuxLa0AkDDSrQ9VwNnETzOsObiucpMYgC"),
    ("secret", "$1$saltsalt$9xy1btjgzLYfb7hivXtC//"),
    ("secret", "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi."),
    ("secret", "$5$rounds=1000$toolongsaltstrin$i5dIbuNA1w5V5o5zQrzsmsWwZqu89635Vn2FTqeVMS0"),
    ("secret", "$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz."),
    ("secret", "$6$rounds=1234$s$nC.aGdNj2Ovxcdm/U0kIkZMaL95E8bwJuAl47m9ZO2odcxwhdB0TKBq.Gr.C.8chGUCTQoghwgCC4JQVvEWI61"),
    ("", "$2b$05$abcdefghijklmnopqrstuu0oImNDIy4flhldV9YqunRgBAePKmw7m"),
    ("", "$2a$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
    ("", "$2y$06$abcdefghijklmnopqrstuuDqVCX9YSxXQXEJE1On1Ptib/W28qLxG"),
    ("", "$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0"),
    ("", "$5$saltstring$FdNfA4gXqvCeO6iZs7G/.wwwoywYZqo0l1pwmfWaBA7"),
    ("", "$5$rounds=1000$toolongsaltstrin$yNBpWVJokqKchnWVv/FWCYZaXM/f15zQab9R4iGe.bC"),
    ("", "$6$saltstring$kyGrqt6gmjAdtFLPrflEFifSYLCWWq1pyx95SvqinLDy2UHmj0sTF0MSLMwxPFZc3tu5kQckI8fks0zOPda3n1"),
    ("", "$6$rounds=1234$s$0BJuOkjoup7KKHKyXMjb9Omtg4vrY2qQGWtT4tYIniD8HT1Ogi7jMOofrYirmaH1fTnoDWU0kcfrIOR18.TLJ."),
    ("pä:ss wört", "$2b$05$abcdefghijklmnopqrstuu.ZVlPM5ZqPDYstNrz.cTRg9d8M2lnAC"),
    ("pä:ss wört", "$2a$04$abcdefghijklmnopqrstuuC.1QEwz2gPS/Tl/kHXcTaBL/6qLnMuG"),
    ("pä:ss wört", "$2y$06$abcdefghijklmnopqrstuuPMZoUHle3YhOlVrKuYZwmqOqjbAziZq"),
    ("pä:ss wört", "$1$saltsalt$lCk.QvzsNIQD5TUrcS1VE1"),
    ("pä:ss wört", "$5$saltstring$Bf2IOOk0kdufixBB1PlI59HuRrymm.tqwDL0uCrd3v."),
    ("pä:ss wört", "$5$rounds=1000$toolongsaltstrin$ztwUcJWYpCBGnpGksiCHVRGuA0aOe7YNH5BDlwHHvZD"),
    ("pä:ss wört", "$6$saltstring$kpsika/mehBdf.QPAVd4uWst4JbyecjLK/AkQEQaKKE4pcH/3XK6qbXv6TcjR2f4jUWUb4Y2/yYSL0Beq0KcD/"),
    ("pä:ss wört", "$6$rounds=1234$s$ZzLePPoU7k0CbJSrVcmwuFbRQ0sKK0gqZAf9opEwG37MpML6PXi1abqETXA5xGKd5YSSVBTocmb51F3HXXymm."),
    (LONG, "$2b$05$abcdefghijklmnopqrstuunIbMmRDSn31OEtajoxyPJzQEnn3X8b2"),
    (LONG, "$2a$04$abcdefghijklmnopqrstuuWTSHkTgWdsWag7rtSY2APXG6jxP2cuq"),
    (LONG, "$2y$06$abcdefghijklmnopqrstuuW5UJaIVm8TPepCPR9k/XmPQ.4lp0hoa"),
    (LONG, "$1$saltsalt$USb6hEjorhJGTU6tQXjgk."),
    (LONG, "$5$saltstring$ohgc.7.LXCqS1m.kL912F.xAjOZ1E/xxW1k40F3W2N1"),
    (LONG, "$5$rounds=1000$toolongsaltstrin$BZjQbG/EKHOxzEYIO5Vzv.H7hdN6FKeMJ9Y.5xs8vC2"),
    (LONG, "$6$saltstring$dd.WyexWPjzFzmrjlcwuUl9wkqT6Dc7ey42RgcTgYQhtud0gaVMNC9u9aVd3tFCvitjPnqiRNXg2A.fggwPX3/"),
    (LONG, "$6$rounds=1234$s$XUqcSebWWwlhRe1Kdlc6yYPAwHDGHk7mwCttT4n0m7sn10FyUlFfOQfVbmBZbzL1kr9EIvxVOKTtHEooKiw30."),
    ("secret", "$2y$05$C/xY6HPzsMAURtzdBWrlv.AmjkPUmRHozWbN1gzPTA1Q8LYUd3BrW"),
    ("secret", "$apr1$pWnxTKYN$IIHaY35lZtsxB6XSbEXG9/"),
    ("secret", "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/"),
    ("", "$apr1$ab$S8K6Sgp3W8c9Jb6LxgywZ."),
    ("pä:ss wört", "$apr1$zgna31ks$ZO/zmh6qVHPiWJ1iwtAl70"),
    (LONG, "$apr1$.6AVNRdE$gv/X1oPOggRSxZjhRaMnJ/"),
    ("secret", "$5$y3HcJsoGw0Z05pXN$Akdbop3eKnoNkEhK4XT7hWU6hNkAT5Z2rwscsB6S40D"),
    ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
    ("pä:ss wört", "{SHA}fmmKRVUW3yUFsl3MTbxjaqaX4+Y"),
    ("secret", "{SSHA}uGAUfJr9yps6jrPoJXwpSFb+ndxzYWx6"),
    (LONG, "{SSHA}mVn93z9b3wC5jYVZpHjPLJY2519zYWx6"),
];

#[test]
fn hashes_of_other_programs_are_verified() {
    for (password, text) in VECTORS {
        let hash = StoredHash::parse(text.as_bytes()).unwrap();
        assert!(hash.verify(password.as_bytes()), "{password} {text}");
        assert!(!hash.verify(b"Secret"), "{text}");
        assert!(!hash.decoy().verify(password.as_bytes()), "{text}");
        assert_eq!(hash.decoy().scheme(), hash.scheme(), "{text}");
    }
}

#[test]
fn what_cannot_be_verified_says_why() {
    use UnusableHash::{Cost, Damaged, Des, Empty, Plain, Rounds, Unknown};
    let digest = "HNxBeBnDfSfUrTj6KiLnmd7tGCvHEmcExh8kl/S0cZ5WrCciNZgfhbpkeFQ4JfkHX.8vPq45lY0iINnCx1Lkm.";
    for (text, expected) in [
        ("", Empty),
        ("secret", Plain),
        ("{PLAIN}secret", Plain),
        // Thirteen letters, but not of the alphabet.
        ("thirteen-lett", Plain),
        ("rqXexS6ZhobKA", Des),
        (
            "$2x$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Unknown,
        ),
        ("$y$j9T$abc$def", Unknown),
        ("$argon2id$v=19$m=1,t=1,p=1$YWJj$ZGVm", Unknown),
        ("$", Unknown),
        ("{CRYPT}rqXexS6ZhobKA", Unknown),
        (
            "$2b$15$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Cost(15),
        ),
        (
            "$2b$31$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Cost(31),
        ),
        (
            "$2b$32$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Damaged("bcrypt"),
        ),
        (
            "$2b$03$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Damaged("bcrypt"),
        ),
        (
            "$2b$5$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Damaged("bcrypt"),
        ),
        (
            "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0",
            Damaged("bcrypt"),
        ),
        ("$2b$05$", Damaged("bcrypt")),
        ("$apr1$ab$jiiV6N7hIIuIoJbc1hxOE", Damaged("`$apr1$`")),
        ("$apr1$ab$jiiV6N7hIIuIoJbc1hxOEz", Damaged("`$apr1$`")),
        ("$apr1$ninechars$jiiV6N7hIIuIoJbc1hxOE/", Damaged("`$apr1$`")),
        ("$apr1$jiiV6N7hIIuIoJbc1hxOE/", Damaged("`$apr1$`")),
        ("$1$a b$jiiV6N7hIIuIoJbc1hxOE/", Damaged("`$1$`")),
        (
            "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi",
            Damaged("`$5$`"),
        ),
        (&format!("$6$rounds=200001$salt${digest}"), Rounds(200_001)),
        (&format!("$6$rounds=999$salt${digest}"), Damaged("`$6$`")),
        (&format!("$6$rounds=9999999999$salt${digest}"), Damaged("`$6$`")),
        (&format!("$6$round=1000$salt${digest}"), Damaged("`$6$`")),
        (&format!("$6$seventeen_letters${digest}"), Damaged("`$6$`")),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY=", Damaged("`{SHA}`")),
        ("{SHA}uGAUfJr9yps6jrPoJXwpSFb+ndxzYWx6", Damaged("`{SHA}`")),
        ("{SSHA}***", Damaged("`{SSHA}`")),
    ] {
        assert_eq!(StoredHash::parse(text.as_bytes()), Err(expected), "{text}");
    }
}

#[test]
fn the_dearest_that_is_verified_is_read() {
    for (text, expected) in [
        (
            "$2b$14$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Scheme::Bcrypt(14),
        ),
        // A salt with bits that mean nothing.
        (
            "$2y$10$abcdefghijklmnopqrstuvOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
            Scheme::Bcrypt(10),
        ),
        (
            "$5$rounds=200000$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.",
            Scheme::Sha256Crypt(200_000),
        ),
    ] {
        assert_eq!(
            StoredHash::parse(text.as_bytes()).unwrap().scheme(),
            expected,
            "{text}"
        );
    }
}

const BCRYPT_4: &str = "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const BCRYPT_6: &str = "$2y$06$abcdefghijklmnopqrstuuxLa0AkDDSrQ9VwNnETzOsObiucpMYgC";
const BCRYPT_8: &str = "$2b$08$abcdefghijklmnopqrstuuKxCcvB7KZ7.BpDoK0bh6qM7Dl1/xiJa";
const APR1: &str = "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/";
const SHA: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

fn accepts(users: &Users, name: &str, password: &str) -> bool {
    users.claim(name.as_bytes()).verify(password.as_bytes()).accepted
}

#[test]
fn lines_are_read_as_nginx_reads_them() {
    let text = format!(
        "# staff\n\n alice:{APR1}:the first\r\nbob:{SHA}\nalice:{BCRYPT_6}\nno colon\n:{SHA}\n#carol:{SHA}\ndora:plain\r\ndora:{SHA}\nerin:{BCRYPT_4}"
    );
    let reading = Users::from_lines(text.as_bytes());
    let users = reading.users.unwrap();
    assert_eq!(users.scheme(), Scheme::Bcrypt(4));
    for (name, password, expected) in [
        ("alice", "secret", true),
        ("alice", "wrong", false),
        ("bob", "secret", true),
        ("carol", "secret", false),
        ("#carol", "secret", false),
        // The first line counts, though nobody can log in with it.
        ("dora", "plain", false),
        ("dora", "secret", false),
        ("erin", "secret", true),
        ("", "secret", false),
        ("no colon", "", false),
    ] {
        assert_eq!(accepts(&users, name, password), expected, "{name} {password}");
    }
    let told: Vec<String> = reading.flaws.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 5: the user is named by an earlier line, which counts",
            "line 6: no `user:hash`; nobody is read from this line",
            "line 7: no `user:hash`; nobody is read from this line",
            "line 9: the user has no known hash; is the password in plain text? Write a hash, such as one of `htpasswd -nB`; \
             this user cannot log in",
            "line 10: the user is named by an earlier line, which counts",
        ]
    );
}

#[test]
fn entries_are_users() {
    let reading = Users::from_entries([
        ("alice", APR1.as_bytes()),
        ("bob", &b"secret"[..]),
        ("carol", b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"),
    ]);
    let users = reading.users.unwrap();
    assert!(accepts(&users, "alice", "secret"));
    assert!(!accepts(&users, "bob", "secret"));
    assert!(accepts(&users, "carol", "secret"));
    let [flaw] = &reading.flaws[..] else { panic!() };
    assert_eq!(flaw.place, Place::Entry("bob".into()));
    assert_eq!(flaw.what, What::Unusable(UnusableHash::Plain));
}

#[test]
fn nobody_left_is_no_users() {
    for text in [
        "",
        "\n\n",
        "# alice:x",
        "alice:secret",
        "alice:rqXexS6ZhobKA",
        ":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    ] {
        assert_eq!(Users::from_lines(text.as_bytes()).users, None, "{text}");
    }
}

#[test]
fn a_pair_is_one_user_with_the_password_as_it_is() {
    let users = Users::from_pair(b"alice", "pä:ss wört".as_bytes()).unwrap();
    assert!(accepts(&users, "alice", "pä:ss wört"));
    assert!(!accepts(&users, "alice", ""));
    assert!(!accepts(&users, "bob", "pä:ss wört"));
    assert_eq!(users.scheme(), Scheme::Sha1);
    assert_eq!(Users::from_pair(b"", b"x"), None);
    assert_eq!(Users::from_pair(b"x", b""), None);
}

/// Without a clock: what is worked is counted where it is worked.
#[test]
fn a_wrong_password_costs_the_same_for_every_name() {
    let sets: [&[(&str, &str)]; 5] = [
        &[("alice", BCRYPT_6)],
        &[
            ("alice", BCRYPT_4),
            ("bob", BCRYPT_8),
            ("carol", APR1),
            ("dora", SHA),
        ],
        &[("alice", APR1), ("bob", SHA)],
        &[("alice", SHA), ("bob", SHA)],
        &[
            (
                "alice",
                "$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz.",
            ),
            (
                "bob",
                "$5$rounds=1000$toolongsaltstrin$i5dIbuNA1w5V5o5zQrzsmsWwZqu89635Vn2FTqeVMS0",
            ),
        ],
    ];
    for set in sets {
        let lines: String = set
            .iter()
            .map(|(name, hash)| format!("{name}:{hash}\n"))
            .collect();
        let users = Users::from_lines(lines.as_bytes()).users.unwrap();
        let unknown = users.claim(b"nobody").verify(b"wrong");
        assert!(!unknown.accepted);
        for (name, _) in set {
            let known = users.claim(name.as_bytes()).verify(b"wrong");
            assert!(!known.accepted, "{name}");
            assert!(
                known.work.abs_diff(unknown.work) * 20 <= unknown.work,
                "{name}: {known:?}, {unknown:?}"
            );
            assert!(accepts(&users, name, "secret"), "{name}");
        }
    }
}

#[test]
fn nothing_secret_is_shown() {
    let users = Users::from_lines(format!("alice:{APR1}").as_bytes())
        .users
        .unwrap();
    assert_eq!(format!("{users:?}"), "Users { users: 1, dearest: Md5Crypt, .. }");
    assert_eq!(
        format!("{:?}", StoredHash::parse(APR1.as_bytes()).unwrap()),
        "StoredHash(Md5Crypt)"
    );
}
