//! Timeouts, and the limit of bodies.

use std::time::Duration;

use super::nginx;
use crate::annotations::{Annotations, IngressTuning};

#[test]
fn timeouts_and_limits_are_read() {
    let tuned = |tuning| {
        (
            Annotations {
                tuning,
                ..Annotations::default()
            },
            Vec::<String>::new(),
        )
    };
    let none = IngressTuning::default();
    let table = [
        (
            "proxy-connect-timeout",
            "5",
            IngressTuning {
                connect_timeout: Some(Duration::from_secs(5)),
                ..none
            },
        ),
        (
            "proxy-read-timeout",
            " 3600 ",
            IngressTuning {
                read_timeout: Some(Duration::from_secs(3_600)),
                ..none
            },
        ),
        (
            "proxy-send-timeout",
            "60",
            IngressTuning {
                send_timeout: Some(Duration::from_secs(60)),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "0",
            IngressTuning {
                body_size: Some(0),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "1000",
            IngressTuning {
                body_size: Some(1_000),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "8m",
            IngressTuning {
                body_size: Some(8 << 20),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "512K",
            IngressTuning {
                body_size: Some(512 << 10),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "2g",
            IngressTuning {
                body_size: Some(2 << 30),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "7b",
            IngressTuning {
                body_size: Some(7),
                ..none
            },
        ),
    ];
    for (name, value, tuning) in table {
        assert_eq!(nginx(name, value), tuned(tuning), "{name}: {value}");
    }
}

#[test]
fn a_connect_timeout_is_a_minute_at_most() {
    for (value, reported) in [
        ("60", Vec::new()),
        (
            "3600",
            vec![
                "warning: `3600` is longer than a request may wait for a connection; it counts as 60 s"
                    .to_owned(),
            ],
        ),
    ] {
        let tuning = IngressTuning {
            connect_timeout: Some(Duration::from_secs(60)),
            ..IngressTuning::default()
        };
        let expected = Annotations {
            tuning,
            ..Annotations::default()
        };
        assert_eq!(nginx("proxy-connect-timeout", value), (expected, reported));
    }
}

#[test]
fn a_value_that_does_not_parse_leaves_the_default() {
    let table = [
        (
            "proxy-read-timeout",
            "60s",
            "error: `60s` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-read-timeout",
            "0",
            "error: `0` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-read-timeout",
            "-1",
            "error: `-1` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-read-timeout",
            "99999999999",
            "error: `99999999999` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-body-size",
            "8MB",
            "error: `8MB` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "",
            "error: `` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "m",
            "error: `m` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "+1",
            "error: `+1` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "99999999999999g",
            "error: `99999999999999g` is not a size such as `8m`; it is ignored",
        ),
    ];
    for (name, value, message) in table {
        assert_eq!(
            nginx(name, value),
            (Annotations::default(), vec![message.to_owned()]),
            "{name}: {value}"
        );
    }
}
