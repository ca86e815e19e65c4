#!/bin/bash
# parse-prometheus-text-format 1.1.1 (npm) makes one histogram of all that differ by their labels.
#
# A histogram with labels is a series of buckets, a sum and a count for each set of them, as the text format of Prometheus writes
# it. The library keys buckets by `le` alone, or by `quantile`: the later set replaces the earlier, the labels are gone, and so are
# sums and counts. Without labels all is there. Counters and gauges keep their labels, so the loss shows in a total alone.
# It also leaves out, without a word, names in quotes, which Prometheus 3 writes where a name has other characters.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error parse-prometheus-text-format@1.1.1 >/dev/null
cat >"$dir/shows.mjs" <<'END'
import parse from "parse-prometheus-text-format";

const histogram = (labels) => `rtt_bucket{${labels}le="0.1"} 1\nrtt_bucket{${labels}le="+Inf"} 2\nrtt_sum{${labels}} 3\nrtt_count{${labels}} 2\n`;
for (const [name, text] of [
  ["without labels", `# TYPE rtt histogram\n${histogram("")}`],
  ["two sets of labels", `# TYPE rtt histogram\n${histogram('kind="audio",')}${histogram('kind="video",').replace("} 1", "} 7").replace("} 2", "} 9")}`],
  ["a counter", '# TYPE sent counter\nsent{kind="audio"} 1\nsent{kind="video"} 2\n'],
  ["a name in quotes", '{"rtt.mean",kind="audio"} 1\n'],
]) console.log(`${name}: ${JSON.stringify(parse(text).flatMap(({ metrics }) => metrics))}`);
END
seen=$(node "$dir/shows.mjs")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
without labels: [{"buckets":{"0.1":"1","+Inf":"2"},"count":"2","sum":"3"}]
two sets of labels: [{"buckets":{"0.1":"7","+Inf":"9"}}]
a counter: [{"value":"1","labels":{"kind":"audio"}},{"value":"2","labels":{"kind":"video"}}]
a name in quotes: []
SEEN
