use door::Verdict;
use proptest::prelude::*;

use super::*;
use crate::world::World;

const CONFIG: &str = "\
[source]
kind = \"files\"
path = \".\"
allow_loopback_backends = true
[listeners.in]
bind = \"127.0.0.1:0\"
selector = \"expose=in\"
scheme = \"http\"
redirect = \"out\"
[listeners.out]
bind = \"127.0.0.1:0\"
selector = \"expose=out\"
scheme = \"https\"
";

const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: { name: web, namespace: n }
spec: { ports: [{ port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: n, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints: [{ addresses: [127.0.0.1] }]
---
apiVersion: v1
kind: Service
metadata: { name: empty, namespace: n }
spec: { ports: [{ port: 80 }] }
";

fn world(objects: &str) -> ShownWorld {
    World::of_files(CONFIG, objects).shown()
}

/// One rule of a random table.
#[derive(Debug, Clone)]
struct RandomRule {
    host: Option<&'static str>,
    path: &'static str,
    path_type: &'static str,
    service: &'static str,
    door: &'static str,
    year: u16,
}

fn rule() -> impl Strategy<Value = RandomRule> {
    (
        prop::sample::select(vec![
            None,
            Some("a.test"),
            Some("b.a.test"),
            Some("*.a.test"),
            Some("c.test"),
        ]),
        prop::sample::select(vec!["/", "/x", "/x/", "/x/y", "/xy"]),
        prop::sample::select(vec!["Exact", "Prefix", "ImplementationSpecific"]),
        prop::sample::select(vec!["web", "empty", "gone"]),
        prop::sample::select(vec!["in", "out", "none"]),
        2000..2004_u16,
    )
        .prop_map(|(host, path, path_type, service, door, year)| RandomRule {
            host,
            path,
            path_type,
            service,
            door,
            year,
        })
}

fn objects(rules: &[RandomRule]) -> String {
    let mut text = SERVICES.to_owned();
    for (index, rule) in rules.iter().enumerate() {
        let RandomRule {
            path,
            path_type,
            service,
            door,
            year,
            ..
        } = rule;
        let host = rule
            .host
            .map_or_else(String::new, |host| format!("host: '{host}', "));
        text.push_str(&format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{ name: i{index}, namespace: n, \
             creationTimestamp: '{year}-01-01T00:00:00Z', labels: {{ expose: {door} }} }}\nspec: {{ rules: [{{ {host}http: \
             {{ paths: [{{ path: {path}, pathType: {path_type}, backend: {{ service: {{ name: {service}, port: {{ number: \
             80 }} }} }} }}] }} }}] }}\n"
        ));
    }
    text
}

/// What the table says, without the help of what is tested: the Ingress, and the status if the gateway answers.
fn found(door: &ShownDoor, host: &str, path: &str) -> (Option<u16>, Option<String>) {
    let (mut buf, mut scratch) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(host.as_bytes(), &mut buf).unwrap();
    let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
    match door.snapshot.find(Some(&host), &path) {
        Verdict::Matched(route) => {
            let status = match &route.action {
                Action::Forward(upstream) if upstream.endpoints.is_empty() => Some(503),
                Action::Forward(_) => None,
                Action::Blocked(_) | Action::Redirect => Some(503),
            };
            (status, Some(route.origin.text.to_string()))
        }
        Verdict::Redirect { .. } => (Some(308), None),
        Verdict::Unknown { .. } => (Some(404), None),
        Verdict::NotSynced => (Some(503), None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What is explained is what is decided; and every rule whose host fits is either the one that answers, or has a reason.
    #[test]
    fn an_explanation_is_the_decision(rules in prop::collection::vec(rule(), 0..12)) {
        let world = world(&objects(&rules));
        for host in ["a.test", "B.a.test.", "d.a.test:81", "e.d.a.test", "c.test", "z.test", "192.0.2.1"] {
            for path in ["/", "/x", "/x/", "/x/y/z", "/xy", "/%78"] {
                let url = format!("http://{host}{path}");
                let question = Question::parse(&url, None, [], None, None).unwrap();
                let explained = explain(&world, &question).unwrap();
                for (door, told) in world.doors.iter().zip(&explained.listeners) {
                    prop_assert_eq!((told.status, told.ingress.clone()), found(door, host, path), "{} {}", &url, door.name());
                    let mut buf = HostBuf::new();
                    let host = normalise_authority(host.as_bytes(), &mut buf).unwrap();
                    for (index, rule) in rules.iter().enumerate() {
                        let pattern = route::HostPattern::parse(rule.host.unwrap_or_default()).unwrap();
                        if !pattern.matches(Some(&host)) {
                            continue;
                        }
                        let name = format!("n/i{index}");
                        let candidate = told.candidates.iter().find(|candidate| candidate.ingress == name);
                        prop_assert_eq!(candidate.is_some(), told.ingress.as_ref() != Some(&name), "{} {}", &url, &name);
                        if let Some(candidate) = candidate {
                            let is_admitted = rule.door == door.name().as_str();
                            prop_assert_eq!(candidate.why.starts_with("not admitted"), !is_admitted, "{}", &candidate.why);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_door_that_does_not_exist_is_an_error() {
    let question = Question::parse("a.test", None, [], None, Some("outside")).unwrap();
    let error = explain(&world(SERVICES), &question).unwrap_err().to_string();
    assert_eq!(error, "there is no door `outside`; there are: in, out");
}

#[test]
fn the_scheme_and_a_known_port_say_which_doors_are_meant() {
    let mut world = world(SERVICES);
    let addressed = |world: &ShownWorld, url: &str| {
        let question = Question::parse(url, None, [], None, None).unwrap();
        let explained = explain(world, &question).unwrap();
        let listeners = explained.listeners.into_iter();
        listeners.map(|door| door.addressed).collect::<Vec<_>>()
    };
    assert_eq!(addressed(&world, "http://a.test/"), [true, false]);
    assert_eq!(addressed(&world, "https://a.test/"), [false, true]);
    assert_eq!(addressed(&world, "a.test"), [true, true]);
    assert_eq!(addressed(&world, "http://a.test:9999/"), [true, false]);
    assert_eq!(addressed(&world, "https://a.test:80/"), [true, false]);
    let mut config = (*world.doors[1].config).clone();
    config.binding.address.set_port(10001);
    world.doors[1].config = config.into();
    // What a load balancer in front of the door sends, for one.
    assert_eq!(addressed(&world, "http://a.test:10001/"), [false, true]);
}

/// Among many Ingresses, only the rules whose host fits are gathered, and of the others the nearest hosts are named.
#[test]
fn many_ingresses_are_not_gathered_for_one_question() {
    let ingress = |number: usize, door: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{ name: i{number}, namespace: n, labels: {{ expose: \
             {door} }} }}\nspec: {{ rules: [{{ host: app-{number}.test, http: {{ paths: [{{ path: /, pathType: Prefix, backend: {{ \
             service: {{ name: web, port: {{ number: 80 }} }} }} }}] }} }}] }}\n"
        )
    };
    let ingresses: String = (100..400).map(|number| ingress(number, "in")).collect();
    let world = world(&(SERVICES.to_owned() + &ingresses + &ingress(40, "out")));
    let host = |text: &str, gathered: usize| {
        let mut buf = HostBuf::new();
        let host = normalise_authority(text.as_bytes(), &mut buf).unwrap();
        assert_eq!(
            Candidates::of(&world, &world.doors[0], Some(&host)).gathered(),
            gathered
        );
    };
    host("app-123.test", 1);
    host("app-4000.test", 0);
    let question = Question::parse("http://app-4000.test/", None, [], None, Some("in")).unwrap();
    let explained = explain(&world, &question).unwrap();
    let candidates = &explained.listeners[0].candidates;
    let named: Vec<&str> = candidates
        .iter()
        .map(|candidate| candidate.host.as_str())
        .collect();
    // Two characters differ, then three; of the same number the order of the hosts counts.
    let nearest = [100, 200, 300, 40, 110, 120, 130, 140].map(|number| format!("app-{number}.test"));
    assert_eq!(named, nearest);
    assert_eq!(candidates[0].why, "it is for another host, `app-100.test`");
    let why = &candidates[3].why;
    assert_eq!(
        why,
        "it is for another host, `app-40.test`, and it is not admitted at this door"
    );
    assert_eq!(
        (candidates[3].path.as_str(), candidates[3].path_type.as_str()),
        ("/", "Prefix")
    );
}

#[test]
fn rules_without_a_host_are_not_denied() {
    let rule = RandomRule {
        host: None,
        path: "/x",
        path_type: "Prefix",
        service: "web",
        door: "out",
        year: 2020,
    };
    let question = Question::parse("https://z.test/y", None, [], None, Some("out")).unwrap();
    let explained = explain(&world(&objects(&[rule])), &question).unwrap();
    assert_eq!(
        explained.listeners[0].reason,
        "404: no rule of this door names host `z.test`, nor does any other door; none of this door's rules without a host has \
         the path"
    );
}

/// What stands at the doors that another process opens is not known here.
#[test]
fn only_doors_of_this_process_are_denied() {
    let mut world = world(SERVICES);
    let reason = |world: &ShownWorld| {
        let question = Question::parse("https://z.test/", None, [], None, Some("out")).unwrap();
        explain(world, &question).unwrap().listeners[0].reason.clone()
    };
    let whole = "404: no rule of this door names host `z.test`, nor does any other door";
    assert_eq!(reason(&world), whole);
    let mut config = (*world.config).clone();
    let other = world.doors.remove(0);
    config
        .others
        .push((other.config.name.clone(), other.config.policy.clone()));
    world.config = config.into();
    assert_eq!(reason(&world), format!("{whole} of this process"));
}

/// As many rules as there are, each with a long path of a request: what is told has a bound, and so has its making.
#[test]
fn the_nearest_rules_are_told_whatever_else_there_is() {
    let rule = |service, year| RandomRule {
        host: Some("a.test"),
        path: "/x",
        path_type: "Exact",
        service,
        door: "out",
        year,
    };
    let mut rules = vec![rule("web", 2001); 300];
    rules.push(RandomRule {
        path: "/",
        path_type: "Prefix",
        ..rule("web", 2000)
    });
    // Of another namespace, and later in order than all that are told.
    let stranger = objects(&[rule("web", 2002)]).split_off(SERVICES.len());
    let stranger = stranger.replace("name: i0, namespace: n", "name: zz, namespace: zz");
    let world = world(&(objects(&rules) + &stranger));
    let url = format!("https://a.test/{}", "y".repeat(4_000));
    let question = Question::parse(&url, None, [], None, Some("out")).unwrap();
    let told = explain(&world, &question).unwrap().listeners.remove(0);
    assert_eq!(told.ingress.as_deref(), Some("n/i300"));
    assert_eq!((told.candidates.len(), told.more_candidates), (50, 251));
    assert_eq!(told.candidates[0].ingress, "n/i0");
    let longest = told.candidates.iter().map(|candidate| candidate.why.len()).max();
    assert!(longest < Some(400), "{longest:?}");

    let question = question.about(Some("zz"));
    let told = explain(&world, &question).unwrap().listeners.remove(0);
    assert_eq!(
        told.ingress.as_deref(),
        Some("n/i300"),
        "who answers is told in any case"
    );
    let others: Vec<&str> = told.candidates.iter().map(|it| &*it.ingress).collect();
    assert_eq!((others, told.more_candidates), (vec!["zz/zz"], 0));
    assert_eq!(told.of_other_namespaces, 300);
}
