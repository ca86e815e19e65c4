//! What explains a packet that did not arrive: the server's own drops by reason, and what the kernel dropped at
//! sockets that were full.

use std::collections::BTreeMap;
use std::time::Duration;

/// The metric of drops.
const METRIC: &str = "ringcast_dropped_total{reason=\"";
/// Reasons that count one packet of one subscriber.
const OF_SUBSCRIBERS: [&str; 3] = ["payload_type", "send_failed", "subscriber_not_ready"];
/// Reasons that count one packet of a publisher, which then misses at all of its subscribers.
const OF_PUBLISHERS: [&str; 9] = [
    "lane_full",
    "no_keys",
    "overload",
    "padding_only",
    "refused",
    "repeated",
    "size",
    "unknown_stream",
    "unpublished",
];
const PATIENCE: Duration = Duration::from_secs(5);

/// Drops by reason at one moment, or in a span.
pub(crate) type Drops = BTreeMap<String, u64>;

/// Reads the drops that a server reports at its admin address.
pub(crate) fn dropped(admin: &str) -> anyhow::Result<Drops> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
    let url = format!("{}/metrics", admin.trim_end_matches('/'));
    let text = ureq::Agent::from(config).get(&url).call()?.body_mut().read_to_string()?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Drops {
    let lines = text.lines().filter_map(|line| line.strip_prefix(METRIC)?.split_once("\"} "));
    lines.filter_map(|(reason, count)| Some((reason.to_owned(), count.parse::<f64>().ok()? as u64))).collect()
}

/// What was added since an earlier reading.
pub(crate) fn added(later: &Drops, earlier: &Drops) -> Drops {
    let before = |reason: &String| earlier.get(reason).copied().unwrap_or_default();
    let all = later.iter().map(|(reason, count)| (reason.clone(), count.saturating_sub(before(reason))));
    all.filter(|(_, count)| *count > 0).collect()
}

/// Deliveries that drops explain, each for one subscriber, and packets of publishers.
pub(crate) fn explained(drops: &Drops) -> (u64, u64) {
    let sum = |reasons: &[&str]| reasons.iter().filter_map(|reason| drops.get(*reason)).sum();
    (sum(&OF_SUBSCRIBERS), sum(&OF_PUBLISHERS))
}

/// Drops of full sockets of this machine, by local port.
pub(crate) fn at_sockets() -> BTreeMap<u16, u64> {
    let mut drops = BTreeMap::new();
    for path in ["/proc/net/udp", "/proc/net/udp6"] {
        for line in std::fs::read_to_string(path).unwrap_or_default().lines().skip(1) {
            if let Some((port, count)) = socket(line) {
                *drops.entry(port).or_insert(0) += count;
            }
        }
    }
    drops
}

/// Local port, and the last field.
fn socket(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    Some((u16::from_str_radix(port, 16).ok()?, fields.next_back()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_a_span_are_told_by_reason() {
        let text = |lane, size| {
            format!(
                "# TYPE x counter\nringcast_dropped_total{{reason=\"lane_full\"}} {lane}\n\
                 ringcast_dropped_total{{reason=\"send_failed\"}} {size}\nother{{reason=\"size\"}} 9\n"
            )
        };
        let (before, after) = (parse(&text(5, 2)), parse(&text(5, 9)));
        let span = added(&after, &before);
        assert_eq!(span, Drops::from([("send_failed".to_owned(), 7)]));
        assert_eq!((explained(&span), explained(&after)), ((7, 0), (9, 5)));
    }

    #[test]
    fn drops_of_a_socket_stand_in_the_last_field() {
        let line = " 12: 0100007F:C350 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 771 2 \
                    00000000 33";
        assert_eq!(socket(line), Some((50000, 33)));
        assert_eq!(socket("  sl  local_address"), None);
    }
}
