use std::fmt::Write as _;

use control::Write;
use door::{BackendPolicy, Ledger, Policy, Publisher, Scheme, Selector, open, publish};
use resource::{Kind, ObjectRef, manifest};
use route::ObjectKey;
use serde_json::{Value, json};

use super::*;

/// Doors, and the journal of their publications.
struct Rig {
    publishers: Vec<Publisher<()>>,
    ledger: Ledger,
    view: Option<ClusterView>,
    writes: Writes,
    journal: Journal,
    now: Timestamp,
}

fn door(name: &str, redirect: Option<&str>) -> Publisher<()> {
    let policy = Policy {
        redirect: redirect.map(|name| name.parse().unwrap()),
        ..Policy::new(Selector::parse(&format!("expose={name}")).unwrap(), Scheme::Http)
    };
    open(name.parse().unwrap(), policy, ()).0
}

impl Rig {
    fn new() -> Self {
        Self {
            publishers: vec![door("a", None), door("b", Some("a"))],
            ledger: Ledger::default(),
            view: None,
            writes: Writes::default(),
            journal: Journal::begun("2026-11-27T10:00:00Z".parse().unwrap()),
            now: "2026-11-27T10:00:00Z".parse().unwrap(),
        }
    }

    /// Publishes these objects, a second after the publication before.
    fn publish(&mut self, yaml: &str) {
        self.publish_with(yaml, None);
    }

    fn publish_with(&mut self, yaml: &str, configuration: Option<&str>) {
        let manifest = manifest::parse("shop.yaml", yaml.as_bytes());
        assert!(manifest.problems.is_empty(), "{:?}", manifest.problems);
        let mut view = ClusterView::default();
        for placed in manifest.objects {
            // As sources do: what is equal stays the same.
            let reference = placed.object.reference();
            let same = self.view.as_ref().and_then(|view| view.object(&reference));
            view.insert(
                same.filter(|same| *same == placed.object)
                    .unwrap_or(placed.object),
            );
        }
        publish(
            &mut self.publishers,
            &view,
            &BackendPolicy::default(),
            &mut self.ledger,
        );
        self.now += std::time::Duration::from_secs(1);
        let publication = Publication {
            changes: &self.ledger.take_changes(),
            doors: self.publishers.iter().map(|door| door.name().clone()).collect(),
            view: &view,
            before: self.view.as_ref(),
            writes: &mut self.writes,
            configuration,
        };
        self.journal.note_at(publication, self.now);
        self.view = Some(view);
    }

    fn wrote(&mut self, kind: Kind, name: &str, version: &str, manager: &str) {
        let write = Write {
            version: Some(version.into()),
            manager: Some(manager.into()),
            time: Some("2026-11-27T09:59:59Z".into()),
        };
        let object = ObjectRef::namespaced(kind, &ObjectKey::new("shop", name));
        self.writes.put(object, write);
    }

    fn page(&self, query: &Query) -> Value {
        let page = self.journal.page_at(query, self.now).unwrap();
        serde_json::to_value(page).unwrap()
    }

    fn entries(&self) -> Vec<Value> {
        self.page(&Query::default())["entries"]
            .as_array()
            .unwrap()
            .clone()
    }

    fn last(&self) -> Value {
        self.entries().pop().unwrap()
    }

    fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(self.journal.clone()));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page
    }
}

fn ingress(name: &str, door: &str, host: &str, paths: &[&str], annotations: &str) -> String {
    let mut yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: shop\n  \
         labels: {{expose: {door}}}\n  annotations: {{{annotations}}}\nspec:\n  rules:\n  - host: {host}\n    http:\n      paths:\n"
    );
    for path in paths {
        writeln!(
            yaml,
            "      - {{path: {path}, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}"
        )
        .unwrap();
    }
    yaml + "---\n"
}

fn service(ready: bool) -> String {
    let endpoints = if ready { "{addresses: [10.0.0.1]}" } else { "" };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-1, namespace: shop, labels: {{kubernetes.io/service-name: app}}}}\n\
         addressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{endpoints}]\n---\n"
    )
}

fn answer(ingress: &str, state: &str) -> Value {
    json!({"ingress": ingress, "service": "shop/app", "port": 80, "state": state, "filters": [], "canary": null})
}

#[test]
fn the_first_table_is_one_entry_and_no_news() {
    let mut rig = Rig::new();
    let many: String = (0..300)
        .map(|number| {
            ingress(
                &format!("i{number}"),
                "a",
                &format!("h{number}.test"),
                &["/", "/x"],
                "",
            )
        })
        .collect();
    rig.publish(&(service(true) + &many));
    let entries = rig.entries();
    let counts = |count: usize| json!({"appeared": count, "changed": 0, "gone": 0});
    let expected = json!([{
        "number": 1,
        "time": "2026-11-27T10:00:01.000Z",
        "causes": [],
        "causes_omitted": 0,
        "doors": [
            {"listener": "a", "event": "opened", "hosts": counts(300), "places": counts(600), "changes": [], "omitted": 600},
            {"listener": "b", "event": "opened", "hosts": counts(300), "places": counts(600), "changes": [], "omitted": 600},
        ],
    }]);
    assert_eq!(Value::from(entries), expected);
    let metrics = rig.metrics();
    for door in ["a", "b"] {
        let line = format!("blastdoor_hosts_appeared_total{{listener=\"{door}\"}} 0");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn what_appears_changes_and_goes_is_told_with_its_cause() {
    let mut rig = Rig::new();
    rig.publish(&service(true));
    // Nothing has changed, and nothing is written.
    rig.publish(&service(true));
    rig.wrote(Kind::Ingress, "web", "7", "helm");
    let web = ingress("web", "a", "web.test", &["/"], "");
    rig.publish(&(service(true) + &web));
    let place = |change: &str, new_host: bool, aspects: &[&str], before: Value, after: Value| {
        json!({"change": change, "host": "web.test", "path": "/", "path_type": "Prefix", "new_host": new_host,
               "aspects": aspects, "before": before, "after": after})
    };
    let redirect = json!({"ingress": null, "service": null, "port": null, "state": "redirect", "filters": [], "canary": null});
    let one = json!({"appeared": 1, "changed": 0, "gone": 0});
    let shown = |listener: &str, answer: &Value| {
        json!({"listener": listener, "event": "changed", "hosts": one, "places": one, "omitted": 0,
               "changes": [place("appeared", true, &[], Value::Null, answer.clone())]})
    };
    let ready = answer("shop/web", "ready");
    let cause = json!({"kind": "Ingress", "namespace": "shop", "name": "web", "change": "created",
                       "resource_version": "7", "field_manager": "helm", "written": "2026-11-27T09:59:59Z",
                       "file": "shop.yaml", "line": 13});
    let expected = json!({
        "number": 3,
        "time": "2026-11-27T10:00:03.000Z",
        "causes": [cause],
        "causes_omitted": 0,
        // The second door redirects to the first.
        "doors": [shown("a", &ready), shown("b", &redirect)],
    });
    assert_eq!(rig.last(), expected);
    assert!(
        rig.metrics()
            .contains("blastdoor_hosts_appeared_total{listener=\"a\"} 1")
    );

    // Its backend has no endpoint any more. The door that redirects does not care.
    rig.publish(&(service(false) + &web));
    let last = rig.last();
    let change = place(
        "changed",
        false,
        &["state"],
        ready,
        answer("shop/web", "no-endpoints"),
    );
    assert_eq!(last["doors"][0]["changes"], json!([change]));
    assert_eq!(last["doors"].as_array().unwrap().len(), 1);
    assert_eq!(last["causes"][0]["kind"], "EndpointSlice");
    assert_eq!(last["causes"][0]["name"], "app-1");

    // A filter is written: nobody is known to have done so, and whoever wrote it last has not.
    let guarded = ingress("web", "a", "web.test", &["/"], "blastdoor.dev/allow: 10.0.0.0/8");
    rig.publish(&(service(false) + &guarded));
    let last = rig.last();
    assert_eq!(last["causes"][0]["change"], "changed");
    assert_eq!(last["causes"][0]["field_manager"], Value::Null);
    let change = &last["doors"][0]["changes"][0];
    assert_eq!(change["aspects"], json!(["filters"]));
    assert_eq!(change["after"]["filters"], json!(["allow"]));

    // It moves to the other door, and its old one forgets the host.
    rig.publish(&(service(false) + &ingress("web", "b", "web.test", &["/"], "")));
    let last = rig.last();
    assert_eq!(
        last["doors"][0]["hosts"],
        json!({"appeared": 0, "changed": 0, "gone": 1})
    );
    let kinds: Vec<&Value> = last["doors"][1]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| &change["change"])
        .collect();
    assert_eq!(
        kinds,
        ["appeared", "gone"],
        "its own rule in place of the redirect"
    );
    assert_eq!(
        last["doors"][1]["hosts"],
        json!({"appeared": 0, "changed": 0, "gone": 0})
    );

    // It goes. Who wrote it last is not who has deleted it.
    rig.wrote(Kind::Ingress, "web", "8", "helm");
    rig.publish(&service(false));
    let last = rig.last();
    assert_eq!(last["causes"][0]["change"], "deleted");
    assert_eq!(last["causes"][0]["field_manager"], Value::Null);
    assert_eq!(last["doors"][0]["changes"][0]["change"], "gone");
    assert!(
        rig.metrics()
            .contains("blastdoor_hosts_appeared_total{listener=\"b\"} 1")
    );
}

#[test]
fn a_flood_is_folded_and_hides_no_new_host() {
    let mut rig = Rig::new();
    let paths: Vec<String> = (0..1_000).map(|number| format!("/{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    rig.publish(&(service(true) + &ingress("many", "a", "a.test", &["/"], "")));
    let flood = ingress("many", "a", "a.test", &paths, "");
    rig.publish(&(service(true) + &flood + &ingress("new", "a", "zz.test", &["/"], "")));
    let door = &rig.last()["doors"][0];
    assert_eq!(door["hosts"]["appeared"], 1);
    assert_eq!(
        door["places"],
        json!({"appeared": 1_001, "changed": 0, "gone": 1})
    );
    let listed = door["changes"].as_array().unwrap();
    assert!(listed.len() <= door::MOST_LISTED, "{}", listed.len());
    assert_eq!(door["omitted"], 1_002 - listed.len());
    let new = listed.iter().find(|change| change["new_host"] == true).unwrap();
    assert_eq!(new["host"], "zz.test");

    let hosts: String = (0..1_000)
        .map(|number| {
            ingress(
                &format!("i{number}"),
                "a",
                &format!("h{number:04}.test"),
                &["/"],
                "",
            )
        })
        .collect();
    rig.publish(&(service(true) + &hosts));
    let last = rig.last();
    assert_eq!(last["causes"].as_array().unwrap().len(), 20);
    assert_eq!(last["causes_omitted"], 1_002 - 20);
    assert_eq!(
        last["doors"][0]["hosts"],
        json!({"appeared": 1_000, "changed": 0, "gone": 2})
    );
    assert!(
        rig.metrics()
            .contains("blastdoor_hosts_appeared_total{listener=\"a\"} 1001")
    );
}

#[test]
fn the_oldest_go_and_the_journal_says_since_when_it_is_complete() {
    let mut rig = Rig::new();
    let paths: Vec<String> = (0..90)
        .map(|number| format!("/{number}/{}", "x".repeat(200)))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let states = ["a.test", "b.test"].map(|host| ingress("web", "a", host, &paths, ""));
    let room = rig.journal.room();
    assert_eq!(room, MOST_BYTES);
    let mut number = 0;
    let complete = |rig: &Rig| rig.page(&Query::default())["complete"] == true;
    // The door that redirects to it has as much to tell.
    while complete(&rig) {
        rig.publish(&(service(true) + &states[number % 2]));
        number += 1;
        assert!(number < 1_000, "it grows without a bound");
    }
    for _ in 0..20 {
        rig.publish(&(service(true) + &states[number % 2]));
        number += 1;
        let state = rig.journal.lock();
        let bytes: usize = state.entries.iter().map(|entry| entry.bytes()).sum();
        assert_eq!(bytes, state.bytes);
        assert!(bytes <= MOST_BYTES, "{bytes}");
        assert!(
            state
                .entries
                .iter()
                .all(|entry| entry.bytes() <= MOST_BYTES_OF_ENTRY)
        );
    }
    let page = rig.page(&Query::default());
    let entries = page["entries"].as_array().unwrap();
    assert!(!entries.is_empty() && entries.len() < number, "{}", entries.len());
    let first: Timestamp = entries[0]["time"].as_str().unwrap().parse().unwrap();
    let since: Timestamp = page["complete_since"].as_str().unwrap().parse().unwrap();
    assert_eq!(first, since + std::time::Duration::from_secs(1));
    for (since, complete) in [
        (first, true),
        (rig.now, true),
        (since - std::time::Duration::from_secs(1), false),
    ] {
        let query = Query {
            since: Some(since),
            limit: MOST_ENTRIES,
            ..Query::default()
        };
        assert_eq!(rig.page(&query)["complete"], complete, "{since}");
    }
    assert_eq!(page["publications"], number);
}

/// Whoever exposes a host and takes it back cannot make the journal forget that by other changes.
#[test]
fn other_changes_do_not_displace_a_new_host() {
    let mut rig = Rig::new();
    let states = ["a", "b"].map(|state| {
        let paths: Vec<String> = (0..90)
            .map(|number| format!("/{state}{number}/{}", "x".repeat(200)))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        service(true) + &ingress("web", "a", "a.test", &paths, "")
    });
    let secret = ingress("new", "a", "secret.test", &["/"], "");
    rig.publish(&states[0]);
    rig.publish(&(states[0].clone() + &secret));
    let entries = |rig: &Rig| rig.journal.lock().entries.clone();
    let is_told = |rig: &Rig| {
        let query = Query {
            limit: MOST_ENTRIES,
            ..Query::default()
        };
        rig.page(&query)["entries"].to_string().contains("secret.test")
    };
    let (mut number, mut kept) = (0, 0);
    // Until it is full, and then half as much again: the first entries would be gone.
    while entries(&rig).len() > kept || number < kept + kept / 2 {
        kept = kept.max(entries(&rig).len());
        number += 1;
        rig.publish(&states[number % 2]);
        assert!(number < 1_000, "it grows without a bound");
    }
    assert!(is_told(&rig), "after {number} changes");
    let latest = rig.last()["number"].as_u64().unwrap();
    assert!(
        latest > u64::try_from(number).unwrap(),
        "the newest change is there: {latest} {number}"
    );
}

#[test]
fn entries_are_bounded_in_number_too() {
    let mut rig = Rig::new();
    for number in 0..MOST_ENTRIES + 5 {
        let mut state = rig.journal.lock();
        let entry = Entry {
            number: number as u64,
            time: rig.now,
            causes: Vec::new(),
            causes_omitted: 0,
            doors: Vec::new(),
        };
        state.keep(entry);
        drop(state);
        rig.now += std::time::Duration::from_secs(1);
    }
    let state = rig.journal.lock();
    assert_eq!(state.entries.len(), MOST_ENTRIES);
    assert_eq!(state.entries.front().unwrap().number, 5);
}

#[test]
fn a_part_can_be_asked_for() {
    let mut rig = Rig::new();
    rig.publish(&service(true));
    rig.publish(&(service(true) + &ingress("one", "a", "one.test", &["/"], "")));
    rig.publish(&(service(true) + &ingress("one", "b", "one.test", &["/"], "")));
    rig.publish(&(service(true) + &ingress("one", "b", "one.test", &["/", "/x"], "")));
    let now = rig.now;
    let numbers = |parameters: [Option<&str>; 4]| {
        let query = Query::read_at(parameters, now).unwrap();
        let page = rig.page(&query);
        let entries = page["entries"].as_array().unwrap().iter();
        let numbers: Vec<u64> = entries.map(|entry| entry["number"].as_u64().unwrap()).collect();
        (numbers, page["omitted"].as_u64().unwrap())
    };
    assert_eq!(numbers([None; 4]), (vec![1, 2, 3, 4], 0));
    assert_eq!(numbers([None, Some("2"), None, None]), (vec![3, 4], 0));
    assert_eq!(numbers([Some("1s"), None, None, None]), (vec![3, 4], 0));
    let since = Some("2026-11-27T10:00:02Z");
    assert_eq!(numbers([since, None, None, Some("1")]), (vec![4], 2));
    let of_a = [None, None, Some("a"), None];
    assert_eq!(numbers(of_a), (vec![1, 2, 3], 0));
    let query = Query::read_at(of_a, now).unwrap();
    for entry in rig.page(&query)["entries"].as_array().unwrap() {
        assert_eq!(entry["doors"].as_array().unwrap().len(), 1);
        assert_eq!(entry["doors"][0]["listener"], "a");
    }
    let of_nobody = rig.page(&Query::default().about(Some("nobody")));
    let entries = of_nobody["entries"].as_array().unwrap().iter();
    let numbers: Vec<u64> = entries.map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3], "the first tables, and what is redirected");
    let unknown = Query::read_at([None, None, Some("<b>\u{202e}"), None], now).unwrap();
    let refused = rig.journal.page_at(&unknown, now).err().unwrap();
    assert_eq!(refused, "no door is named `<b>\\u{202e}`");
}

/// A reload that adds a door is no news, and neither is a restart. One that makes a door answer more is.
/// Whoever has one namespace sees what became of it, and how much else there was.
#[test]
fn the_part_of_a_namespace_can_be_asked_for() {
    let mut rig = Rig::new();
    rig.publish(&service(true));
    let of_shop = ingress("one", "a", "one.test", &["/"], "");
    let of_crm = ingress("two", "a", "two.test", &["/"], "").replace("namespace: shop", "namespace: crm");
    rig.publish(&(service(true) + &of_shop + &of_crm));
    let page = rig.page(&Query::default().about(Some("crm")));
    let door = &page["entries"][1]["doors"][0];
    assert_eq!(door["places"]["appeared"], 2, "the numbers are those of the door");
    assert_eq!(door["changes"].as_array().unwrap().len(), 1, "{door:#}");
    assert_eq!(door["changes"][0]["after"]["ingress"], "crm/two");
    assert_eq!(door["of_others"], 1);
    // Whose a redirect is says only the door to which it leads.
    let redirects = page["entries"][1]["doors"][1]["changes"].as_array().unwrap();
    assert_eq!(redirects.len(), 2);
    let whole = rig.last();
    assert_eq!(whole["doors"][0].get("of_others"), None);

    // A flood may hide what is of a namespace: then it is not left out.
    let paths: Vec<String> = (0..300).map(|number| format!("/{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let flood = ingress("three", "a", "one.test", &paths, "");
    rig.publish(&(service(true) + &of_shop + &of_crm + &flood));
    let page = rig.page(&Query::default().about(Some("crm")));
    let door = &page["entries"][2]["doors"][0];
    assert_eq!(door["changes"].as_array().unwrap().len(), 0);
    assert!(door["omitted"].as_u64() > Some(0), "{door:#}");
}

#[test]
fn a_door_that_opens_is_no_news_and_one_that_admits_more_is() {
    let mut rig = Rig::new();
    let objects = service(true)
        + &ingress("one", "a", "one.test", &["/"], "")
        + &ingress("two", "c", "two.test", &["/"], "");
    rig.publish(&objects);
    rig.publishers.push(door("c", None));
    rig.publish_with(&objects, Some("listeners.toml"));
    let last = rig.last();
    assert_eq!(last["doors"][0]["listener"], "c");
    assert_eq!(last["doors"][0]["event"], "opened");
    assert_eq!(last["causes"][0]["kind"], "Configuration");
    assert_eq!(last["causes"][0]["name"], "listeners.toml");

    let wider = Policy::new(Selector::parse("expose in (a, c)").unwrap(), Scheme::Http);
    rig.publishers[0].reconfigure(wider, ());
    rig.publish_with(&objects, Some("listeners.toml"));
    let last = rig.last();
    assert_eq!(last["doors"][0]["event"], "changed");
    assert_eq!(last["doors"][0]["hosts"]["appeared"], 1);
    assert_eq!(last["causes"].as_array().unwrap().len(), 1);

    rig.publishers.remove(2);
    rig.publish_with(&objects, Some("listeners.toml"));
    let last = rig.last();
    assert_eq!(last["doors"][0]["listener"], "c");
    assert_eq!(last["doors"][0]["event"], "closed");
    let metrics = rig.metrics();
    for line in [
        "blastdoor_hosts_appeared_total{listener=\"a\"} 1",
        "blastdoor_hosts_appeared_total{listener=\"b\"} 1",
        "blastdoor_hosts_appeared_total{listener=\"c\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// Whatever somebody calls himself stays text.
#[test]
fn hostile_names_stay_text() {
    let mut rig = Rig::new();
    rig.publish(&service(true));
    let name = "\"}],<script>\u{202e}\n\u{1b}[2J";
    rig.wrote(Kind::Ingress, "web", "1", name);
    rig.publish(&(service(true) + &ingress("web", "a", "web.test", &["/"], "")));
    let page = serde_json::to_string(&rig.journal.page_at(&Query::default(), rig.now).unwrap()).unwrap();
    assert!(!page.contains('\n') && !page.contains('\u{1b}'), "{page}");
    assert_eq!(rig.last()["causes"][0]["field_manager"], name);
}
