//! Every error says where it is: in which line and column of the file, or in which variable.

use super::*;

/// The errors of a configuration, without its folder.
fn errors(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let (folder, mut options) = Options::of_file(text);
    options.environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let folder = format!("{}/", folder.path().display());
    match load(&options) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .0
            .iter()
            .map(|error| error.to_string().replace(&folder, ""))
            .collect(),
    }
}

/// A door without errors, and these lines.
fn door(lines: &str) -> String {
    format!("[listeners.a]\nbind = \"127.0.0.1:0\"\nselector = \"a=b\"\nscheme = \"http\"\n{lines}")
}

#[test]
fn an_error_in_the_file_has_line_and_column() {
    let table = [
        ("bind = 5\n", "a.toml:5:1: is not valid TOML: duplicate key"),
        ("workers = 0\n", "a.toml:5:11: listeners.a.workers: 0 is not"),
        (
            "cpus = \"1-\"\n",
            "a.toml:5:8: listeners.a.cpus: `1-` is not a list",
        ),
        (
            "workers = \"two\"\n",
            "a.toml:5:11: listeners.a.workers: invalid type",
        ),
        (
            "  slector = 1\n",
            "a.toml:5:3: listeners.a.slector: unknown key; did you mean",
        ),
        (
            "idle_timeout   =   \"0s\"\n",
            "a.toml:5:20: listeners.a.idle_timeout: zero",
        ),
        (
            "limits = { headers = 0 }\n",
            "a.toml:5:22: listeners.a.limits.headers: 0 is out",
        ),
        (
            "limits = { sockets = 1 }\n",
            "a.toml:5:12: listeners.a.limits.sockets: unknown key",
        ),
        (
            "limits.headers = 0\n",
            "a.toml:5:18: listeners.a.limits.headers: 0 is out",
        ),
        (
            "[listeners.a.limits]\nheaders = 0\n",
            "a.toml:6:11: listeners.a.limits.headers: 0 is out",
        ),
        (
            "[ listeners.\"a\" . limits ]\nheaders = 0\n",
            "a.toml:6:11: listeners.a.limits.headers: 0 is out",
        ),
        (
            "trusted_proxies = [\n  \"10.0.0.0/8\",\n  \"x\", # which\n]\n",
            "a.toml:7:3: listeners.a.trusted_proxies[1]: `x` is not",
        ),
        (
            "hosts = [ \"ä.test\", \"*\" ]\n",
            "a.toml:5:21: listeners.a.hosts[1]: `*` is not",
        ),
        (
            "namespaces = []\n",
            "a.toml:5:14: listeners.a.namespaces: an empty list",
        ),
        // A table stands where its key does.
        ("tls = {}\n", "a.toml:5:1: listeners.a.tls: a door with scheme"),
        (
            "[listeners.a.tls]\n",
            "a.toml:5:14: listeners.a.tls: a door with scheme",
        ),
        // What looks like the key in a text, or in a comment, is not the key.
        (
            "hosts = ['''\nworkers = 1''']\nworkers = 0\n",
            "a.toml:7:11: listeners.a.workers: 0 is not",
        ),
        (
            "#workers = 5\nworkers = 0\n",
            "a.toml:6:11: listeners.a.workers: 0 is not",
        ),
        // What is missing is missing in the table around it.
        (
            "[listeners.b]\nscheme = \"http\"\nselector = \"a=c\"\n",
            "a.toml:5:12: listeners.b.bind: missing",
        ),
        ("[source]\nkind = \"files\"\n", "a.toml:5:2: source.path: missing"),
    ];
    for (lines, expected) in table {
        let told = errors(&door(lines), &[]);
        assert!(
            told.iter().any(|error| error.starts_with(expected)),
            "{lines}: {expected} is not in {told:#?}"
        );
    }
    assert_eq!(
        errors("", &[]),
        ["a.toml: listeners: no door is declared; write at least one [listeners.NAME]"]
    );
    for nothing in ["foo = 1\n", "foo = 1\n[listeners]\n"] {
        let told = errors(nothing, &[]);
        assert!(
            ["foo", "no door is declared"]
                .iter()
                .all(|part| told.iter().any(|error| error.contains(part))),
            "{told:#?}"
        );
    }
    let told = errors("foo = 1\nlisteners = 2\n", &[]);
    assert!(
        told.iter().all(|error| !error.contains("no door is declared")),
        "{told:#?}"
    );
}

#[test]
fn an_error_in_the_environment_names_the_variable() {
    let limits = ("BLASTDOOR_LISTENERS__A__LIMITS", "{ connections = 0 }");
    let headers = ("BLASTDOOR_LISTENERS__A__LIMITS__HEADERS", "0");
    let kind = ("BLASTDOOR_SOURCE__KIND", "files");
    let table = [
        // Each value of a table has its own origin.
        (
            "[listeners.a.limits]\nheaders = 0\n",
            &[limits][..],
            &[
                "a.toml:6:11: listeners.a.limits.headers: 0 is out",
                "environment variable BLASTDOOR_LISTENERS__A__LIMITS: listeners.a.limits.connections: 0 would",
            ][..],
        ),
        (
            "limits = { connections = 0 }\n",
            &[headers],
            &[
                "a.toml:5:26: listeners.a.limits.connections: 0 would",
                "environment variable BLASTDOOR_LISTENERS__A__LIMITS__HEADERS: listeners.a.limits.headers: 0 is out",
            ],
        ),
        // The later variable counts.
        (
            "",
            &[limits, headers],
            &[
                "environment variable BLASTDOOR_LISTENERS__A__LIMITS: listeners.a.limits.connections: 0 would",
                "environment variable BLASTDOOR_LISTENERS__A__LIMITS__HEADERS: listeners.a.limits.headers: 0 is out",
            ],
        ),
        // What is a value in one variable has no keys for another.
        (
            "",
            &[
                ("BLASTDOOR_LISTENERS__A__LIMITS", "{ headers = 5 }"),
                ("BLASTDOOR_LISTENERS__A__LIMITS__HEADERS__X", "2"),
            ],
            &[
                "environment variable BLASTDOOR_LISTENERS__A__LIMITS__HEADERS__X: listeners.a.limits.headers.x: another variable gives `headers` a value",
            ],
        ),
        // A list is replaced as a whole.
        (
            "hosts = [\"a.test\", \"b.test\"]\n",
            &[("BLASTDOOR_LISTENERS__A__HOSTS", "[\"a.test\", \"*\"]")],
            &["environment variable BLASTDOOR_LISTENERS__A__HOSTS: listeners.a.hosts[1]: `*` is not"],
        ),
        // A value that is wrong in the file and right in the environment is right.
        ("workers = 0\n", &[("BLASTDOOR_LISTENERS__A__WORKERS", "1")], &[]),
        (
            "",
            &[(
                "BLASTDOOR_LISTENERS__A__PUBLISH",
                "{ hostname = \"a.test\", port = 1 }",
            )],
            &["environment variable BLASTDOOR_LISTENERS__A__PUBLISH: listeners.a.publish.port: unknown key"],
        ),
        // What a variable makes necessary is missing because of it.
        (
            "",
            &[kind],
            &["environment variable BLASTDOOR_SOURCE__KIND: source.path: missing"],
        ),
        (
            "[source]\nsecrets = \"auto\"\n",
            &[kind],
            &["environment variable BLASTDOOR_SOURCE__KIND: source.path: missing"],
        ),
        (
            "",
            &[("BLASTDOOR_LOG", "a=b=c")],
            &["environment variable BLASTDOOR_LOG: log.level: `a=b=c` is not a level"],
        ),
    ];
    for (lines, environment, expected) in table {
        let told = errors(&door(lines), environment);
        let fits = |(told, expected): (&String, &&str)| told.starts_with(expected);
        assert!(
            told.len() == expected.len() && told.iter().zip(expected).all(fits),
            "{lines} {environment:?}: {expected:#?} is not {told:#?}"
        );
    }
}

/// A health check finds the gateway's address whatever else is wrong with its configuration.
#[test]
fn the_admin_port_is_known_whatever_else_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    let asked = |text: &str, environment: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        admin(&Options {
            config: Some(path.clone()),
            environment: environment.iter().map(own).collect(),
            ..Options::default()
        })
    };
    let at = |port| Ok(AdminBind::Tcp(([127, 0, 0, 1], port).into()));
    assert_eq!(asked("", &[]), at(10254));
    assert_eq!(
        asked("nonsense = 1\n[admin]\nbind = \"127.0.0.1:1\"\n", &[]),
        at(1)
    );
    assert_eq!(
        asked("[admin]\nbind = \"127.0.0.1:1\"\n[source]\nkind =\n", &[]),
        at(1)
    );
    assert_eq!(
        asked(
            "[admin]\nbind = \"x\"\n",
            &[("BLASTDOOR_ADMIN__BIND", "127.0.0.1:2")]
        ),
        at(2)
    );
    let error = asked("[admin]\n  bind = \"x\"\n", &[]).unwrap_err().to_string();
    assert!(
        error.contains("a.toml:2:10: admin.bind: `x` is not an address"),
        "{error}"
    );
    let error = asked("", &[("BLASTDOOR_ADMIN__BIND", "x")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("environment variable BLASTDOOR_ADMIN__BIND: admin.bind: `x` is not"),
        "{error}"
    );
}

/// `auto` and a number, in the file and in the environment.
/// Unless they are configured. What the process has got stays until it is restarted, and so do they.
#[test]
fn workers_leave_descriptors_to_connections() {
    let workers = |descriptors: &str, in_use: Option<u64>, lines: &str| {
        let process = format!("[process]\ndescriptors = {descriptors}\n");
        let (_folder, mut options) = Options::of_file(&(process + &door(lines)));
        options.process = in_use.map(|descriptors| Process {
            descriptors: Some(descriptors),
            memory: None,
        });
        load(&options).unwrap().config.doors[0].binding.workers
    };
    let cpus = "cpus = \"0-15\"\n";
    for (descriptors, expected) in [(64, 1), (127, 1), (128, 2), (320, 5)] {
        assert_eq!(
            workers(&descriptors.to_string(), None, cpus),
            expected,
            "{descriptors}"
        );
        assert_eq!(
            workers("1000", Some(descriptors), cpus),
            expected,
            "{descriptors}"
        );
    }
    assert_eq!(workers("128", None, "workers = 16\n"), 16);
}

#[test]
fn descriptors_are_a_number_or_auto() {
    let loaded = |text: &str, variable: Option<&str>| {
        let (_folder, mut options) = Options::of_file(&format!("{text}{}", door("")));
        let variable = variable.map(|value| ("BLASTDOOR_PROCESS__DESCRIPTORS".to_owned(), value.to_owned()));
        options.environment = variable.into_iter().collect();
        load(&options).unwrap().config.process.descriptors
    };
    assert_eq!(loaded("", None), None);
    assert_eq!(loaded("[process]\ndescriptors = \"auto\"\n", None), None);
    assert_eq!(loaded("[process]\ndescriptors = 4096\n", None), Some(4096));
    assert_eq!(loaded("[process]\ndescriptors = 4096\n", Some("auto")), None);
    assert_eq!(loaded("", Some("512")), Some(512));
    let table = [
        (
            "63",
            "63 is too few to start with; allowed: `auto`, or a number from 64",
        ),
        (
            "\"all\"",
            "`all` is not known; allowed: `auto`, or a number from 64",
        ),
        (
            "-1",
            "invalid value: integer `-1`; allowed: a whole number, or \"auto\"",
        ),
    ];
    for (written, message) in table {
        let told = errors(&format!("{}[process]\ndescriptors = {written}\n", door("")), &[]);
        assert_eq!(told, [format!("a.toml:6:15: process.descriptors: {message}")]);
    }
}

/// `auto` and a size, in the file and in the environment.
#[test]
fn memory_is_a_size_or_auto() {
    let loaded = |text: &str, variable: Option<&str>| {
        let (_folder, mut options) = Options::of_file(&format!("{text}{}", door("")));
        let variable = variable.map(|value| ("BLASTDOOR_PROCESS__MEMORY".to_owned(), value.to_owned()));
        options.environment = variable.into_iter().collect();
        load(&options).unwrap().config.process.memory
    };
    assert_eq!(loaded("", None), None);
    assert_eq!(loaded("[process]\nmemory = \"auto\"\n", None), None);
    assert_eq!(loaded("[process]\nmemory = \"512MiB\"\n", None), Some(512 << 20));
    assert_eq!(
        loaded("[process]\nmemory = 40000000\n", Some("1GiB")),
        Some(1 << 30)
    );
    for (written, told) in [
        ("\"31MiB\"", "32505856 bytes is too little to start with"),
        ("1", "1 bytes is too little to start with"),
        ("\"much\"", "`much` is not a size"),
    ] {
        let allowed =
            "allowed: `auto`, or from 32MiB: bytes as a number, or with a unit such as `32KiB`, `1MiB`";
        let found = errors(&format!("{}[process]\nmemory = {written}\n", door("")), &[]);
        assert_eq!(found, [format!("a.toml:6:10: process.memory: {told}; {allowed}")]);
    }
}

#[test]
fn a_door_has_one_worker_per_cpu_unless_it_says_otherwise() {
    for (lines, workers) in [("cpus = \"3,5-7\"\n", 4), ("cpus = \"3,5-7\"\nworkers = 2\n", 2)] {
        let (_folder, options) = Options::of_file(&door(lines));
        let loaded = load(&options).unwrap_or_else(|errors| panic!("{:?}", errors.0));
        let binding = &loaded.config.doors.first().unwrap().binding;
        assert_eq!(binding.workers, workers, "{lines}");
        assert_eq!(
            binding.cpus.as_ref().map(ToString::to_string).as_deref(),
            Some("3,5-7")
        );
    }
}

/// The least and the most of each bound is accepted; what lies beyond is refused, with the key, the value and the range.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn bounds_have_a_range() {
    const LIMITS: &str = "[listeners.a.limits]";
    let some = "allowed: 1 and above";
    let whole = "allowed: a whole number from 0 to 4294967295";
    // Table, key, the least and the most, what is less, what is more, and what is said of each.
    type Case<'a> = (&'a str, &'a str, [&'a str; 2], [(&'a str, &'a str, &'a str); 2]);
    let size = |least, most, range| (least, most, range);
    let table: &[Case<'_>] = &[
        (
            LIMITS,
            "h2_buffer",
            ["\"64KiB\"", "\"16MiB\""],
            [
                size("65535", "65535 bytes is out of range", "allowed: 64KiB to 16MiB"),
                size(
                    "16777217",
                    "16777217 bytes is out of range",
                    "allowed: 64KiB to 16MiB",
                ),
            ],
        ),
        (
            "[log]",
            "buffer",
            ["\"64KiB\"", "\"256MiB\""],
            [
                size("65535", "65535 bytes is out of range", "allowed: 64KiB to 256MiB"),
                size(
                    "268435457",
                    "268435457 bytes is out of range",
                    "allowed: 64KiB to 256MiB",
                ),
            ],
        ),
        (
            LIMITS,
            "client_share",
            ["1", "100"],
            [
                ("0", "0 is out of range", "allowed: 1 to 100"),
                ("101", "101 is out of range", "allowed: 1 to 100"),
            ],
        ),
        (
            LIMITS,
            "h2_streams",
            ["1", "1000"],
            [
                ("0", "0 is out of range", "allowed: 1 to 1000"),
                ("1001", "1001 is out of range", "allowed: 1 to 1000"),
            ],
        ),
        (
            LIMITS,
            "route_series",
            ["0", "1000000"],
            [
                ("99", "99 is out of range", "allowed: 0 (none), 100 to 1000000"),
                (
                    "1000001",
                    "1000001 is out of range",
                    "allowed: 0 (none), 100 to 1000000",
                ),
            ],
        ),
        (
            LIMITS,
            "ingress_rules",
            ["1", "4294967295"],
            [("0", "0 would", some), ("4294967296", "`4294967296`", whole)],
        ),
        (
            LIMITS,
            "namespace_rules",
            ["1", "4294967295"],
            [("0", "0 would", some), ("4294967296", "`4294967296`", whole)],
        ),
        (
            LIMITS,
            "namespace_endpoints",
            ["1", "4294967295"],
            [("0", "0 would", some), ("4294967296", "`4294967296`", whole)],
        ),
        (
            "[source]",
            "service_ports",
            ["1", "4294967295"],
            [("0", "0 would", some), ("4294967296", "`4294967296`", whole)],
        ),
        (
            "[source]",
            "service_slices",
            ["1", "4294967295"],
            [("0", "0 would", some), ("4294967296", "`4294967296`", whole)],
        ),
        (
            "[source]",
            "service_endpoints",
            ["1", "4294967295"],
            [("0", "0 would", some), ("4294967296", "`4294967296`", whole)],
        ),
        (
            "[source]",
            "most_followed",
            ["1", "4294967295"],
            [("0", "0 would", some), ("4294967296", "`4294967296`", whole)],
        ),
        (
            "[process]",
            "descriptors",
            ["64", "1048576"],
            [
                ("63", "63 is too few", "allowed: `auto`, or a number from 64"),
                ("-1", "`-1`", "a whole number"),
            ],
        ),
        (
            "[process]",
            "memory",
            ["\"32MiB\"", "\"64GiB\""],
            [
                size("33554431", "33554431 bytes is too little", "from 32MiB"),
                size("-1", "`-1`", "a number"),
            ],
        ),
        (
            LIMITS,
            "connections_per_client",
            ["0", "4294967295"],
            [
                ("-1", "`-1`", "a whole number"),
                ("\"many\"", "\"many\"", "a whole number"),
            ],
        ),
    ];
    for (header, key, accepted, refused) in table {
        let text = |value: &str| format!("{}{header}\n{key} = {value}\n", door(""));
        for value in accepted {
            assert_eq!(errors(&text(value), &[]), [] as [String; 0], "{key} = {value}");
        }
        for (value, told, range) in refused {
            let found = errors(&text(value), &[]);
            let [error] = &found[..] else {
                panic!("{key} = {value}: {found:?}")
            };
            let place = header.trim_matches(['[', ']']);
            let is_told = error.contains(&format!("{place}.{key}: "));
            assert!(
                is_told && error.contains(told) && error.contains(range),
                "{key} = {value}: {error}"
            );
        }
    }
}

/// Two doors, each with lines that say which Ingresses are meant for it.
fn two_doors(one: &str, other: &str) -> String {
    format!(
        "[listeners.a]\nbind = \"127.0.0.1:0\"\nscheme = \"http\"\n{one}\n[listeners.b]\nbind = \"127.0.0.1:0\"\nscheme = \"http\"\n{other}\n"
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn membership_is_by_labels_by_class_or_by_both() {
    const MEET: &str =
        "can admit the same Ingress; make them exclude each other, or set overlap = true on both";
    let b = "selector = \"x=b\"";
    let table = [
        ("selector = \"x=a\"", b, &[][..]),
        ("selector = [\"x=a\", \"solver=true,x!=b\"]", b, &[]),
        (
            "classes = [\"public\"]",
            "classes = [\"private\", \"traefik\"]",
            &[],
        ),
        (
            "selector = \"x=a\"\nclasses = [\"public\"]",
            "selector = \"x=a\"\nclasses = [\"private\"]",
            &[],
        ),
        (
            "",
            b,
            &[
                "a.toml:1:12: listeners.a.selector: missing; write the labels that select this door, such as `expose=internal-http`, or its `classes`",
            ],
        ),
        (
            "selector = []",
            b,
            &["a.toml:4:12: listeners.a.selector: an empty list would admit nothing"],
        ),
        (
            "classes = []",
            b,
            &["a.toml:4:11: listeners.a.classes: an empty list would admit nothing"],
        ),
        (
            "classes = [\"c\", \"\"]",
            b,
            &["a.toml:4:17: listeners.a.classes[1]: is empty"],
        ),
        (
            "selector = \"x=a\"\nclasses = \"c\"",
            b,
            &["a.toml:5:11: listeners.a.classes: invalid type: string \"c\"; allowed: a sequence"],
        ),
        (
            "selector = 5\nclasses = [\"c\"]",
            "classes = [\"d\"]",
            &[
                "a.toml:4:12: listeners.a.selector: invalid type: integer `5`; allowed: a text, or a list of texts",
            ],
        ),
        (
            "selector = [\"x=a\", \"!x\"]",
            b,
            &["a.toml:4:20: listeners.a.selector[1]: `!x` only excludes"],
        ),
        (
            "selector = [\"x=a\", \"x=b\"]",
            b,
            &["a.toml:4:12: listeners.a.selector: `x=a or x=b` and door `b`'s `x=b`"],
        ),
        (
            "classes = [\"c\"]",
            b,
            &["a.toml:4:11: listeners.a.classes: `class c` and door `b`'s `x=b`"],
        ),
        (
            "classes = [\"c\", \"d\"]",
            "selector = \"x=b\"\nclasses = [\"d\"]",
            &["a.toml:4:11: listeners.a.classes: `class c or d` and door `b`'s `x=b of class d`"],
        ),
        (
            "overlap = true\nclasses = [\"c\"]",
            "overlap = true\nclasses = [\"c\"]",
            &[],
        ),
        (
            "classes = [\"c\"]",
            "classes = [\"d\"]\n[source]\ningress_class = [\"d\"]",
            &["a.toml:4:12: listeners.a.classes[0]: `c` is not in source.ingress_class"],
        ),
        (
            "selector = \"x=a\"",
            "selector = \"x=b\"\n[source]\ningress_class = [\"d\"]",
            &[],
        ),
        // `ingress_class` is for all doors alike and chooses none.
        (
            "",
            "selector = \"x=b\"\n[source]\ningress_class = [\"d\"]",
            &["a.toml:1:12: listeners.a.selector: missing"],
        ),
    ];
    for (one, other, expected) in table {
        let told = errors(&two_doors(one, other), &[]);
        let fits = |(told, expected): (&String, &&str)| told.starts_with(expected);
        assert!(
            told.len() == expected.len() && told.iter().zip(expected).all(fits),
            "{one} {other}: {expected:#?} is not {told:#?}"
        );
        assert!(
            told.iter()
                .all(|told| !told.contains("and door") || told.ends_with(MEET)),
            "{told:#?}"
        );
    }
}

#[test]
fn membership_can_come_from_the_environment() {
    let file = two_doors("selector = \"x=a\"", "selector = \"x=b\"");
    let variable = "BLASTDOOR_LISTENERS__A__SELECTOR";
    let table = [
        (&[(variable, "x=c")][..], &[][..]),
        (&[(variable, "[\"x=c\", \"x in (d, e)\"]")], &[]),
        (&[(variable, "x in (c, d)")], &[]),
        (
            &[(variable, "[\"x=c\", \"x=b\"]")],
            &[
                "environment variable BLASTDOOR_LISTENERS__A__SELECTOR: listeners.a.selector: `x=c or x=b` and door",
            ],
        ),
        (
            &[("BLASTDOOR_LISTENERS__A__CLASSES", "[\"nginx\", \"\"]")],
            &["environment variable BLASTDOOR_LISTENERS__A__CLASSES: listeners.a.classes[1]: is empty"],
        ),
        (&[("BLASTDOOR_LISTENERS__A__CLASSES", "[\"nginx\"]")], &[]),
    ];
    for (environment, expected) in table {
        let told = errors(&file, environment);
        let fits = |(told, expected): (&String, &&str)| told.starts_with(expected);
        assert!(
            told.len() == expected.len() && told.iter().zip(expected).all(fits),
            "{environment:?}: {expected:#?} is not {told:#?}"
        );
    }
}

#[test]
fn no_error_repeats_a_secret() {
    let file = |line: &str| door(&format!("[tracing]\n{line}\n"));
    let headers = "BLASTDOOR_TRACING__HEADERS";
    let below = "BLASTDOOR_TRACING__HEADERS__AUTHORIZATION__X";
    let table = [
        (door(""), Some((headers, "Bearer hush"))),
        (door(""), Some((headers, "{\"authorization\": \"Bearer hush\"}"))),
        (door(""), Some((headers, "[\"hush\"]"))),
        (door(""), Some((headers, "{ authorization = [\"hush\"] }"))),
        (door(""), Some((headers, "{ \"authorization: hush\" = 1 }"))),
        (door(""), Some((headers, "4815162342"))),
        (door(""), Some((below, "hush"))),
        (
            door(""),
            Some(("BLASTDOOR_TRACING__ENDPOINT", "http://me:hush@a:1")),
        ),
        (file("headers = \"authorization: hush\""), None),
        (file("headers = 4815162342"), None),
        (file("headers = { authorization = 4815162342 }"), None),
        (file("headers = { authorization = 99994815162342999999 }"), None),
        (file("headers = { \"authorization: hush\" = \"\" }"), None),
        (file("headers.authorization.hush = \"hush\""), None),
        (file("endpoint = \"http://a:1/?token=hush\""), None),
    ];
    for (text, variable) in table {
        let errors = errors(&text, variable.as_slice());
        assert!(!errors.is_empty(), "{text} {variable:?}");
        let said = errors.join("\n");
        assert!(!said.contains("hush") && !said.contains("4815162342"), "{said}");
    }
}

/// A token of digits is no number.
#[test]
fn a_field_for_the_collector_is_a_text_whatever_it_looks_like() {
    let (_folder, mut options) = Options::of_file(&door("[tracing]\nendpoint = \"http://127.0.0.1:4317\"\n"));
    options.environment = ["4815162342", "\"4815162342\"", "true", "[a]"]
        .iter()
        .zip(["A", "B", "C", "D"])
        .map(|(value, name)| {
            (
                format!("BLASTDOOR_TRACING__HEADERS__X-{name}"),
                (*value).to_owned(),
            )
        })
        .collect();
    let collector = load(&options).unwrap().config.tracing.unwrap();
    let mut values: Vec<_> = collector
        .headers
        .0
        .iter()
        .map(|(_, value)| value.as_bytes())
        .collect();
    values.sort();
    assert_eq!(values, [&b"4815162342"[..], b"4815162342", b"[a]", b"true"]);
}

#[test]
fn a_token_in_clear_text_is_warned_of() {
    for (endpoint, headers, warned) in [
        ("http://otel:4317", "{ a = \"b\" }", true),
        ("http://otel:4317", "{}", false),
        ("https://otel:4317", "{ a = \"b\" }", false),
        ("http://127.0.0.1:4317", "{ a = \"b\" }", false),
        ("http://[::1]:4317", "{ a = \"b\" }", false),
        ("http://localhost:4317", "{ a = \"b\" }", false),
    ] {
        let tracing = format!("[tracing]\nendpoint = \"{endpoint}\"\nheaders = {headers}\n");
        let (_folder, options) = Options::of_file(&door(&tracing));
        let warnings = load(&options).unwrap().warnings;
        let found = warnings.iter().any(|warning| warning.key == "tracing.endpoint");
        assert_eq!(found, warned, "{tracing}");
    }
}
