//! Examples for every `--help`. A test reads each of them as a command line.

/// Commands, and lines to try with what they do. The program without a command is the empty one.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("Look at it, without a cluster", "blastdoor demo"),
            ("Run the doors of listeners.toml", "blastdoor run"),
            (
                "What is wrong with the objects of a cluster?",
                "blastdoor check --config listeners.toml",
            ),
        ],
    ),
    (
        "run",
        &[
            ("With another configuration", "blastdoor run --config edge.toml"),
            (
                "With files instead of a cluster",
                "blastdoor run --manifests manifests",
            ),
            (
                "Two doors here, and the others in another process",
                "blastdoor run --doors internal-http,internal-https",
            ),
        ],
    ),
    (
        "demo",
        &[("The four doors, with something behind each", "blastdoor demo")],
    ),
    (
        "check",
        &[
            (
                "Files before they are applied",
                "blastdoor check --manifests manifests",
            ),
            (
                "One team's objects, in another cluster",
                "blastdoor check --context production -n shop",
            ),
            ("For a program", "blastdoor check -o json"),
        ],
    ),
    (
        "audit",
        &[
            ("From the configured source", "blastdoor audit"),
            (
                "What one team has reachable in another cluster",
                "blastdoor audit --context production -n shop",
            ),
            (
                "To compare with later",
                "blastdoor audit --manifests k8s -o json > now.json",
            ),
            (
                "What a change would expose; exits with 1 if anything changes",
                "blastdoor audit --manifests k8s --diff now.json",
            ),
            (
                "What a running gateway serves",
                "blastdoor audit --admin 127.0.0.1:10254",
            ),
            (
                "What has changed there in the last hour, and who wrote it",
                "blastdoor audit --since 1h --admin 127.0.0.1:10254",
            ),
        ],
    ),
    (
        "explain",
        &[
            ("At every door", "blastdoor explain https://shop.example.com/cart"),
            (
                "At one door, for a client",
                "blastdoor explain shop.example.com/cart --door external-https --client 203.0.113.7",
            ),
            (
                "Of the rules that do not answer, only those of one team",
                "blastdoor explain https://shop.example.com/cart -n shop",
            ),
            (
                "With a method and a header field",
                "blastdoor explain https://shop.example.com/api --method OPTIONS --header 'Origin: https://other.example'",
            ),
            (
                "What curl asks on this machine",
                "blastdoor explain http://127.0.0.1:10002/ --header 'Host: shop.example.com'",
            ),
            (
                "As a running gateway would answer",
                "blastdoor explain https://shop.example.com/cart --admin 127.0.0.1:10254",
            ),
            (
                "What happens to the next real request, at a running gateway",
                "blastdoor explain https://shop.example.com/cart --live --client 203.0.113.7 --admin 127.0.0.1:10254",
            ),
            (
                "The next POST to anything below /api/, within ten minutes",
                "blastdoor explain 'shop.example.com/api/*' --live --method POST --wait 600s",
            ),
        ],
    ),
    (
        "doctor",
        &[
            ("The cluster of the current context", "blastdoor doctor"),
            (
                "The nodes that DNS names, too",
                "blastdoor doctor -n blastdoor --expect-nodes a.example.com,b.example.com",
            ),
            (
                "Objects that somebody else has fetched",
                "blastdoor doctor --dump objects",
            ),
        ],
    ),
    (
        "prove",
        &[
            (
                "The gateway on this machine",
                "blastdoor prove --config listeners.toml",
            ),
            (
                "Through its load balancers",
                "blastdoor prove --address internal-https=https://lb.corp.example.com:443 --address external-https=https://lb.example.com:443",
            ),
            (
                "For a program, with more hosts",
                "blastdoor prove --hosts 20 -o json",
            ),
        ],
    ),
    (
        "health",
        &[
            ("Is it ready?", "blastdoor health --ready"),
            (
                "Does this door take traffic?",
                "blastdoor health --admin 127.0.0.1:10254 --lb external-https",
            ),
        ],
    ),
    (
        "completions",
        &[
            ("For this shell", "blastdoor completions bash"),
            ("fish", "blastdoor completions fish"),
        ],
    ),
    (
        "man",
        &[
            ("Read it", "blastdoor man"),
            ("Install all pages", "blastdoor man /usr/local/share/man/man1"),
        ],
    ),
    (
        "version",
        &[("For a report of a fault", "blastdoor version -o json")],
    ),
];

/// What a program is called as in the examples.
#[cfg(test)]
const PROGRAM: &str = "blastdoor ";

/// Adds them to the help of every command that has none of its own.
pub(super) fn add(command: clap::Command) -> clap::Command {
    let command = command.after_help(text(""));
    command.mut_subcommands(|command| {
        if command.get_after_help().is_some() {
            return command;
        }
        let text = text(command.get_name());
        command.after_help(text)
    })
}

fn text(name: &str) -> String {
    let found = EXAMPLES.iter().find(|(known, _)| *known == name);
    let Some((_, examples)) = found else {
        return String::new();
    };
    let lines = examples
        .iter()
        .map(|(what, line)| format!("  # {what}\n  {line}"));
    format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Cli, command};
    use super::*;

    /// What a shell makes of a line: what is between apostrophes is one word, and a redirection is none.
    fn words(line: &str) -> Vec<OsString> {
        let line = line.split(" > ").next().unwrap_or_default();
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                words.push(OsString::from(part));
            } else {
                words.extend(part.split_whitespace().map(OsString::from));
            }
        }
        words
    }

    /// Whoever adds a command adds examples, and whoever changes an option changes them.
    #[test]
    fn every_command_has_examples_that_are_command_lines() {
        let whole = command(None);
        let commands = std::iter::once(&whole).chain(whole.get_subcommands());
        for of in commands {
            let name = of.get_name();
            let help = of.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains("Examples:"),
                "no examples in `blastdoor {name} --help`: add them to {}",
                file!()
            );
            let lines: Vec<&str> = help
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with(PROGRAM))
                .collect();
            assert!(!lines.is_empty(), "{name}: {help}");
            for line in lines {
                let arguments = words(line);
                if let Err(error) = Cli::read(&arguments) {
                    panic!("{line}: {error}");
                }
                let is_its_own = name == whole.get_name() || line.split_whitespace().nth(1) == Some(name);
                assert!(is_its_own, "{line}, in the help of {name}");
            }
        }
    }

    #[test]
    fn all_that_clap_checks() {
        command(None).debug_assert();
    }

    /// kubectl finds a plugin by its name, and a person reads `kubectl blastdoor` in its help.
    #[test]
    fn a_plugin_of_kubectl_is_called_as_people_call_it() {
        let read = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            Cli::read(&arguments)
        };
        let help = read(&["/usr/local/bin/kubectl-blastdoor", "check", "--help"]).unwrap_err();
        assert!(
            help.to_string().contains("Usage: kubectl blastdoor check"),
            "{help}"
        );
        let help = read(&["blastdoor", "check", "--help"]).unwrap_err();
        assert!(help.to_string().contains("Usage: blastdoor check"), "{help}");
        assert!(read(&["blastdoor"]).is_ok(), "the doors run");
        assert!(read(&["kubectl-blastdoor"]).is_err(), "no doors run from kubectl");
        assert!(read(&["kubectl-blastdoor", "check", "--context", "a", "-n", "b"]).is_ok());
        assert!(read(&["kubectl-blastdoor", "check", "-A"]).is_ok());
        assert!(read(&["kubectl-blastdoor", "check", "-A", "-n", "b"]).is_err());
    }
}
