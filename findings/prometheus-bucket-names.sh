#!/bin/bash
# prometheus 0.14.0 and prometheus-client 0.26.0 (crates.io) give the buckets of one histogram different names.
#
# The first writes le="1", the second le="1.0", as OpenMetrics asks of its text (Numbers: "le" is in canonical form). Whoever moves
# from one to the other, or serves the text format by the first and OpenMetrics by the second, changes a label, so each whole
# bucket is another series: queries over both have gaps, and quantiles are wrong as long as both are in the window. Sums, counts
# and buckets with a fraction stay the same, which hides it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'END'
[package]
name = "shows"
version = "0.0.0"
edition = "2021"
[dependencies]
prometheus = { version = "=0.14.0", default-features = false }
prometheus-client = "=0.26.0"
END
cat >"$dir/src/main.rs" <<'END'
use prometheus::core::Collector;

const BUCKETS: [f64; 3] = [0.5, 1.0, 10.0];

fn main() {
    let options = prometheus::HistogramOpts::new("rtt", "Round trips").buckets(BUCKETS.to_vec());
    let first = prometheus::Histogram::with_opts(options).unwrap();
    first.observe(0.7);
    let text = prometheus::TextEncoder::new().encode_to_string(&first.collect()).unwrap();

    let second = prometheus_client::metrics::histogram::Histogram::new(BUCKETS);
    second.observe(0.7);
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register("rtt", "Round trips", second);
    let mut open = String::new();
    prometheus_client::encoding::text::encode(&mut open, &registry).unwrap();

    for (name, text) in [("prometheus", text), ("prometheus-client", open)] {
        let buckets: Vec<&str> = text.lines().filter(|line| line.starts_with("rtt_bucket")).collect();
        println!("{name}: {}", buckets.join(", "));
    }
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
prometheus: rtt_bucket{le="0.5"} 0, rtt_bucket{le="1"} 1, rtt_bucket{le="10"} 1, rtt_bucket{le="+Inf"} 1
prometheus-client: rtt_bucket{le="0.5"} 0, rtt_bucket{le="1.0"} 1, rtt_bucket{le="10.0"} 1, rtt_bucket{le="+Inf"} 1
SEEN
