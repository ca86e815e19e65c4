#!/bin/bash
# rtcp-types 0.3.0 (crates.io, of the GStreamer project) refuses SDES with two chunks, and counts duplicates as 16 million lost packets.
#
# A chunk ends with at least one null and goes to the next word (RFC 3550 6.5). The library begins the next chunk a byte too early, so
# what a mixer or a translator sends (RFC 3550 7.2) is "truncated"; one chunk alone is read. The cumulative number of packets lost is
# signed (6.4.1), and comes as an unsigned number: -1 as 16,777,215.
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
rtcp-types = "=0.3.0"
END
cat >"$dir/src/main.rs" <<'END'
use rtcp_types::{Compound, Packet};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn main() {
    for (name, hex) in [
        ("one chunk, one null", "81ca0002 00000001 01016100"),
        ("two chunks, one null each", "82ca0004 00000001 01016100 00000002 01016200"),
        ("two chunks, two nulls each", "82ca0006 00000001 01046162 63640000 00000002 01046162 63640000"),
        ("two chunks, three nulls each", "82ca0006 00000001 01036162 63000000 00000002 01036162 63000000"),
        ("two chunks, four nulls each", "82ca0006 00000001 01026162 00000000 00000002 01026162 00000000"),
        ("1 packet lost", "81c90007 00000001 00000002 00000001 00000001 00000002 00000003 00000004"),
        ("-1 packets lost", "81c90007 00000001 00000002 00ffffff 00000001 00000002 00000003 00000004"),
    ] {
        let bytes = bytes(hex);
        match Compound::parse(&bytes).and_then(|mut all| all.next().unwrap()) {
            Ok(Packet::Sdes(sdes)) => println!("{name}: {} read", sdes.chunks().count()),
            Ok(Packet::Rr(report)) => {
                println!("{name}: {}", report.report_blocks().next().unwrap().cumulative_lost());
            }
            Ok(_) => unreachable!(),
            Err(error) => println!("{name}: {error:?}"),
        }
    }
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
one chunk, one null: 1 read
two chunks, one null each: Truncated { expected: 12, actual: 11 }
two chunks, two nulls each: Truncated { expected: 16, actual: 15 }
two chunks, three nulls each: Truncated { expected: 16, actual: 15 }
two chunks, four nulls each: Truncated { expected: 16, actual: 15 }
1 packet lost: 1
-1 packets lost: 16777215
SEEN
