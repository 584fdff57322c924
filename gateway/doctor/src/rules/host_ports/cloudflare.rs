//! GW306: whom doors behind Cloudflare believe, and who gets to them.

use ipnet::IpNet;

use crate::finding::{Finding, Id, Severity};
use crate::gateway::{Door, Front, Workload};
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

/// The ranges that Cloudflare publishes, as they come with this version.
const RANGES: &str = include_str!("../../../../../deploy/k3s/cloudflare.txt");
/// A list that is older than this is not believed to be current.
const STALE: i64 = 90 * 24 * 60 * 60;

pub(super) const RULE: Rule = Rule {
    id: Id("GW306"),
    severity: Severity::Warning,
    condition: "A door behind Cloudflare trusts nobody, or other ranges than Cloudflare's, or a list that was fetched more than 90 days ago; or \
                it ends TLS and asks for no client certificate (authenticated origin pulls).",
    effect: "Without the ranges, the gateway sees Cloudflare's addresses instead of clients'. With too many, others can forge the client's \
             address. Without origin pulls, whoever knows a node's address goes around Cloudflare.",
    fix: "Cloudflare's list in `trusted_proxies_file`; `client_auth` with the authority of origin pulls.",
    needs: &[],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    let ranges = ranges();
    for workload in scene.workloads {
        for door in workload
            .configuration
            .doors
            .iter()
            .filter(|door| door.front == Front::Cloudflare)
        {
            let is_unknown = matches!(door.trusted_file, Some((_, None)));
            if is_unknown {
                let what = format!("GW306, door `{}`", door.name);
                found.skip(
                    what,
                    "its `trusted_proxies_file` comes from no ConfigMap that is known here",
                );
            } else {
                found.findings.extend(trust(scene, workload, door, &ranges));
            }
            found.findings.extend(origin_pulls(workload, door));
        }
    }
}

fn ranges() -> Vec<IpNet> {
    let lines = RANGES
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter_map(|line| line.parse().ok()).collect()
}

fn trust(scene: &Scene<'_>, workload: &Workload<'_>, door: &Door, ranges: &[IpNet]) -> Option<Finding> {
    let field = match door.trusted_file {
        Some(_) => format!("listeners.{}.trusted_proxies_file", door.name),
        None => format!("listeners.{}.trusted_proxies", door.name),
    };
    let covers = |networks: &[IpNet], range: &IpNet| networks.iter().any(|network| network.contains(range));
    let missing: Vec<&IpNet> = ranges
        .iter()
        .filter(|range| !covers(&door.trusted, range))
        .collect();
    let more: Vec<&IpNet> = door
        .trusted
        .iter()
        .filter(|network| !covers(ranges, network))
        .collect();
    let fetched = door
        .trusted_fetched
        .filter(|fetched| scene.now.as_second().saturating_sub(*fetched) > STALE);
    let text = if door.trusted.is_empty() {
        format!(
            "Door `{}` is behind Cloudflare and trusts nobody: it sees Cloudflare's addresses instead of clients'.",
            door.name
        )
    } else if !more.is_empty() {
        format!(
            "Door `{}` is behind Cloudflare and also trusts {}: whoever sends from there can forge the client's address (`X-Forwarded-*`, \
             `CF-Connecting-IP`).",
            door.name,
            list(more.iter().map(ToString::to_string))
        )
    } else if !missing.is_empty() {
        format!(
            "Door `{}` is behind Cloudflare and does not trust {} of its ranges: of requests from there it sees Cloudflare's address.",
            door.name,
            missing.len()
        )
    } else if fetched.is_some() {
        format!(
            "Door `{}` trusts a list of Cloudflare's ranges that was fetched more than 90 days ago.",
            door.name
        )
    } else {
        return None;
    };
    let name = &workload.name;
    let mut finding = Finding::new(RULE.id, RULE.severity, name.clone(), text).evidence(
        name.clone(),
        &field,
        if door.trusted.is_empty() {
            "(nothing)".to_owned()
        } else {
            list(door.trusted.iter().map(ToString::to_string))
        },
    );
    if !missing.is_empty() && !door.trusted.is_empty() {
        finding = finding.evidence(
            name.clone(),
            format!("{field}, missing"),
            list(missing.iter().map(ToString::to_string)),
        );
    }
    if let Some(fetched) = fetched.and_then(|fetched| k8s_openapi::jiff::Timestamp::from_second(fetched).ok())
    {
        finding = finding.evidence(name.clone(), format!("{field}, fetched"), fetched);
    }
    Some(
        finding
            .effect(
                "Allow lists and rate limits by address judge the wrong one: all clients behind one address of Cloudflare share a limit, or \
                 a forged address passes.",
            )
            .fix(
                "Put Cloudflare's current list into the file. It is read again when it changes, without a restart.",
                "{ echo \"# fetched $(date -u +%F)\"; curl -sS https://www.cloudflare.com/ips-v4; echo; curl -sS https://www.cloudflare.com/ips-v6; } > \
                 cloudflare.txt\n# then put it where `trusted_proxies_file` points: a key of the ConfigMap that the pods mount",
            ),
    )
}

fn origin_pulls(workload: &Workload<'_>, door: &Door) -> Option<Finding> {
    let tls = door.policy.tls.as_ref()?;
    if tls.client_auth != door::ClientAuth::Off {
        return None;
    }
    let name = &workload.name;
    Some(
        Finding::new(
            RULE.id,
            RULE.severity,
            name.clone(),
            format!("Door `{}` asks for no client certificate: anyone who knows a node's address bypasses Cloudflare.", door.name),
        )
        .evidence(name.clone(), format!("listeners.{}.behind", door.name), "cloudflare")
        .evidence(name.clone(), format!("listeners.{}.tls.client_auth", door.name), "off")
        .effect("Nothing is seen until somebody does it: Cloudflare's firewall, bot rules and rate limits do not apply to that traffic.")
        .fix(
            "Authenticated origin pulls: switch them on at Cloudflare with a certificate of your own, put its authority into a Secret, and \
             begin with `optional`.",
            format!(
                "# listeners.toml\n[listeners.{}.tls]\nclient_auth = {{ mode = \"optional\", ca = {{ secret = \"{}/cloudflare-origin-pull\" }} }}   # \
                 then `require`",
                door.name,
                name.namespace()
            ),
        )
        .advice("Or let the firewall of the nodes admit Cloudflare's ranges alone. That does not tell your zone from others of Cloudflare."),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::Fixture;

    fn behind(trusted: &[IpNet], fetched: Option<&str>) -> Fixture {
        let fixture = Fixture::new().nodes(&["a"]).daemon_set(&["a"], json!({}));
        fixture.door("external-http", |door| {
            door.front = Front::Cloudflare;
            door.trusted = trusted.to_vec();
            let parse = |text: &str| text.parse::<k8s_openapi::jiff::Timestamp>().unwrap().as_second();
            door.trusted_fetched = fetched.map(parse);
        })
    }

    #[test]
    fn the_list_is_cloudflares_and_current() {
        let all = ranges();
        assert_eq!(all.len(), 22, "15 of IPv4 and 7 of IPv6");
        let private: IpNet = "10.0.0.0/8".parse().unwrap();
        let everybody: IpNet = "0.0.0.0/0".parse().unwrap();
        let table = [
            (all.clone(), None, None),
            (all.clone(), Some("2026-11-01T00:00:00Z"), None),
            (
                all.clone(),
                Some("2026-08-01T00:00:00Z"),
                Some("more than 90 days ago"),
            ),
            (vec![], None, Some("trusts nobody")),
            (all[1..].to_vec(), None, Some("does not trust 1 of its ranges")),
            (
                [all.clone(), vec![private]].concat(),
                None,
                Some("also trusts 10.0.0.0/8"),
            ),
            (
                [all, vec![everybody]].concat(),
                None,
                Some("also trusts 0.0.0.0/0"),
            ),
        ];
        for (trusted, fetched, expected) in table {
            let found = behind(&trusted, fetched).findings("GW306");
            let texts: Vec<&str> = found.iter().map(|finding| finding.finding.as_str()).collect();
            match expected {
                None => assert_eq!(texts, [""; 0], "{fetched:?}"),
                Some(expected) => assert!(texts.len() == 1 && texts[0].contains(expected), "{texts:?}"),
            }
        }
    }
}
