use door::OwnAddresses;
use resource::manifest;

use super::*;
use crate::config::{self, Options};

/// A cluster with a Service of gateways at 10.1.1.1 (ready), 10.1.1.2 (not) and 10.1.1.3 (ending).
const GATEWAYS: &str = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
    metadata: {name: blastdoor-1, namespace: blastdoor, labels: {kubernetes.io/service-name: blastdoor}}\n\
    addressType: IPv4\nports: [{port: 11000, name: more}, {port: 5353, protocol: UDP}]\nendpoints:\n\
    - {addresses: [\"10.1.1.1\"], conditions: {ready: true}}\n\
    - {addresses: [\"10.1.1.2\"], conditions: {ready: false}}\n\
    - {addresses: [\"10.1.1.3\"], conditions: {ready: false, serving: false, terminating: true}}\n";

fn view(yaml: &str) -> ClusterView {
    manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]).0
}

fn config(source: &str, doors: Option<&[&str]>) -> Config {
    let toml = format!(
        "[source]\nkind = \"kubernetes\"\n{source}\n[admin]\nbind = \"10.0.0.7:10254\"\n\
         [listeners.inside]\nbind = \"10.0.0.7:10000\"\nselector = \"expose=inside\"\nscheme = \"http\"\n\
         [listeners.outside]\nbind = \"[::]:10002\"\nselector = \"expose=outside\"\nscheme = \"http\"\n\
         [listeners.free]\nbind = \"[::]:0\"\nselector = \"expose=free\"\nscheme = \"http\"\n"
    );
    let (_folder, mut options) = Options::of_file(&toml);
    options.doors = doors.map(|doors| doors.iter().map(|&door| door.to_owned()).collect());
    config::load(&options).unwrap().config
}

fn ips(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn own(config: &Config) -> GatewayAddresses {
    let mut own = GatewayAddresses::default();
    own.declare(config);
    own
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn known_addresses_stay_and_unknown_means_everywhere() {
    let config = config("", None);
    let mut own = own(&config);
    let nothing = ClusterView::default();
    let failed = || Err("EMFILE: Too many open files".to_owned());

    assert!(own.learn(failed()), "there is something to tell");
    let (policy, problems) = own.policy(&config.source, &nothing);
    assert_eq!(policy.own_addresses, OwnAddresses::Anywhere);
    let message = "error: File addresses of this host: cannot be listed: EMFILE: Too many open files; until they can, \
                   no backend is called at a port of the gateway's own, at any address";
    assert_eq!(told(&problems), [message]);
    assert!(!own.learn(failed()), "it is told");

    assert!(own.learn(Ok(ips(&["10.0.0.1", "127.0.0.1"]))));
    let (known, problems) = own.policy(&config.source, &nothing);
    let bound_too = ips(&["10.0.0.1", "10.0.0.7", "127.0.0.1"]);
    assert_eq!(known.own_addresses, OwnAddresses::At(bound_too));
    assert_eq!(known.own_ports, [10000, 10002, 10254].into());
    assert_eq!(told(&problems), [""; 0]);

    assert!(own.learn(failed()));
    let (policy, problems) = own.policy(&config.source, &nothing);
    assert_eq!(policy, known, "what was known stays");
    assert_eq!(problems.len(), 1);
    assert!(told(&problems)[0].ends_with("those that were listed before count as the gateway's own"));

    assert!(own.learn(Ok(ips(&["10.0.0.1", "127.0.0.1"]))), "it is over");
    assert!(!own.learn(Ok(ips(&["10.0.0.1", "127.0.0.1"]))));
    assert!(own.learn(Ok(ips(&["10.0.0.2", "127.0.0.1"]))));
}

#[test]
fn this_host_has_addresses() {
    let found = interfaces().unwrap();
    assert!(found.contains(&IpAddr::from([127, 0, 0, 1])), "{found:?}");
}

#[test]
fn ports_of_doors_left_to_another_process_are_own() {
    let config = config("", Some(&["inside"]));
    assert_eq!(config.doors.len(), 1);
    let mut own = own(&config);
    // A port that was free where 0 was asked for; and what a door has had stays its own.
    own.listen(["[::]:41234".parse().unwrap()]);
    let (policy, _) = own.policy(&config.source, &ClusterView::default());
    assert_eq!(policy.own_ports, [10000, 10002, 10254, 41234].into());
}

#[test]
fn gateways_of_the_installation_count_in_any_condition() {
    let config = config(
        "replicas = { services = [\"blastdoor/blastdoor\"] }\nrefuse_backends = [\"192.0.2.0/24\", \"::ffff:10.9.0.0/112\"]",
        None,
    );
    let mut own = own(&config);
    own.learn(Ok(ips(&["127.0.0.1"])));
    let (policy, problems) = own.policy(&config.source, &view(GATEWAYS));
    assert_eq!(told(&problems), [""; 0]);
    let all = ips(&["10.0.0.7", "10.1.1.1", "10.1.1.2", "10.1.1.3", "127.0.0.1"]);
    assert_eq!(policy.own_addresses, OwnAddresses::At(all));
    assert_eq!(
        policy.own_ports,
        [10000, 10002, 10254, 11000].into(),
        "ports that the Service names are doors as well"
    );
    let refused: Vec<String> = policy.refused.iter().map(ToString::to_string).collect();
    assert_eq!(refused, ["192.0.2.0/24", "10.9.0.0/16"]);

    // One that is ready again is no change.
    let again = GATEWAYS.replace("ready: false", "ready: true");
    assert_eq!(own.policy(&config.source, &view(&again)).0, policy);
}

#[test]
fn an_unknown_service_of_replicas_makes_every_address_own() {
    let two = config(
        "replicas = { services = [\"blastdoor/blastdoor\", \"blastdoor/typo\"] }",
        None,
    );
    let mut own = own(&two);
    own.learn(Ok(ips(&["127.0.0.1"])));
    let (policy, problems) = own.policy(&two.source, &view(GATEWAYS));
    assert_eq!(policy.own_addresses, OwnAddresses::Anywhere);
    let message = "error: Service blastdoor/typo: `[source] replicas` names it, and it has no EndpointSlice that can \
                   be read, so the addresses of this gateway's other pods are unknown: no backend is called at a port of \
                   the gateway's own, at any address; create the Service, or correct its name";
    assert_eq!(told(&problems), [message]);

    let anywhere = config(
        "replicas = { services = [\"blastdoor/blastdoor\"], host_ports = true }",
        None,
    );
    let (policy, problems) = own.policy(&anywhere.source, &view(GATEWAYS));
    assert_eq!(policy.own_addresses, OwnAddresses::Anywhere);
    assert_eq!(told(&problems), [""; 0]);
}

#[test]
fn replicas_that_are_ready_share_limits() {
    let ready = |services: &str| {
        let source = format!("replicas = {{ services = [{services}] }}");
        ready_replicas(&config(&source, None).source, &view(MORE))
    };
    const MORE: &str = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
        metadata: {name: a-1, namespace: blastdoor, labels: {kubernetes.io/service-name: a}}\n\
        addressType: IPv4\nports: []\nendpoints:\n\
        - {addresses: [\"10.1.1.1\"]}\n\
        - {addresses: [\"10.1.1.2\"], conditions: {ready: true}}\n\
        - {addresses: [\"10.1.1.3\"], conditions: {ready: false}}\n\
        ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
        metadata: {name: a-2, namespace: blastdoor, labels: {kubernetes.io/service-name: a}}\n\
        addressType: IPv6\nports: []\nendpoints:\n\
        - {addresses: [\"fd00::1\"]}\n- {addresses: [\"fd00::2\"]}\n\
        ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
        metadata: {name: b-1, namespace: blastdoor, labels: {kubernetes.io/service-name: b}}\n\
        addressType: IPv4\nports: []\nendpoints:\n- {addresses: [\"10.1.1.2\"]}\n- {addresses: [\"10.1.1.4\"]}\n";
    assert_eq!(ready("\"blastdoor/a\""), Some(2));
    assert_eq!(ready("\"blastdoor/a\", \"blastdoor/b\""), Some(3));
    assert_eq!(ready("\"blastdoor/none\""), Some(1));
    let nothing = config("", None);
    assert_eq!(ready_replicas(&nothing.source, &view(MORE)), None);
}
