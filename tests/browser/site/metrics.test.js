// What operators look at, read by the real Prometheus: the exposition, the rules, and every panel of the dashboard on a server
// that is well and has nothing to do. No browser.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { freeTcpPort, startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

const grafana = fileURLToPath(new URL("../../../grafana/", import.meta.url));
const run = promisify(execFile);

let folder;
let server;
let prometheus;
let asked;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-metrics-"));
  server = await startServer({ shards: 2 });
  const port = await freeTcpPort("127.0.0.1");
  asked = `http://127.0.0.1:${port}/api/v1`;
  const file = path.join(folder, "prometheus.yml");
  const target = new URL(server.admin).host;
  const config = {
    global: { scrape_interval: "1s", evaluation_interval: "1s" },
    rule_files: [path.join(grafana, "alerts.yml")],
    scrape_configs: [{ job_name: "ringcast", static_configs: [{ targets: [target] }] }],
  };
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config));
  const args = [`--config.file=${file}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`, "--log.level=warn"];
  prometheus = spawn("prometheus", args, { stdio: ["ignore", "ignore", "inherit"] });
}, { timeout: 60_000 });
after(async () => {
  if (prometheus?.exitCode === null) {
    const ended = new Promise((resolve) => prometheus.once("exit", resolve));
    prometheus.kill("SIGTERM");
    await ended;
  }
  await server?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** Asks Prometheus, and returns the series of the answer. */
async function query(expression) {
  const reply = await (await fetch(`${asked}/query`, { method: "POST", body: new URLSearchParams({ query: expression }) })).json();
  assert.equal(reply.status, "success", `${expression}: ${JSON.stringify(reply)}`);
  return reply.data.result;
}

/** The exposition as it comes over the wire. */
const exposed = (headers) =>
  new Promise((resolve, reject) => {
    http.get(`${server.admin}/metrics`, { headers }, (reply) => {
      const chunks = [];
      reply.on("data", (chunk) => chunks.push(chunk));
      reply.on("end", () => resolve({ headers: reply.headers, body: Buffer.concat(chunks) }));
    }).on("error", reject);
  });

test("promtool finds no fault with the exposition and the rules, and each rule fires when it should", async () => {
  const { headers, body } = await exposed({});
  assert.equal(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  assert.equal(headers["content-encoding"], undefined);
  const check = spawn("promtool", ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  for (const stream of [check.stdout, check.stderr]) stream.on("data", (chunk) => (said += chunk));
  check.stdin.end(body);
  assert.equal(await new Promise((resolve) => check.on("exit", resolve)), 0, said);
  assert.equal(said, "");
  for (const command of [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]]) {
    const { stdout } = await run("promtool", command, { cwd: grafana });
    assert.match(stdout, /SUCCESS/);
  }
});

test("OpenMetrics and gzip are for those who ask, and say the same", async () => {
  const plain = await exposed({});
  const open = await exposed({ accept: "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "accept-encoding": "gzip" });
  assert.equal(open.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
  assert.equal(open.headers["content-encoding"], "gzip");
  assert.ok(open.body.length < plain.body.length / 3, `${open.body.length} of ${plain.body.length} bytes`);
  const text = gunzipSync(open.body).toString();
  assert.match(text, /# EOF\n$/);
  const names = (text) => [...new Set(text.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => line.split(/[{ ]/)[0]))].sort();
  assert.deepEqual(names(text), names(plain.body.toString()));
});

test("every panel of the dashboard shows something on an idle server, and no alert fires", async () => {
  // Prometheus asks for OpenMetrics, and drops a scrape in which it does not understand one line.
  await until("Prometheus to have read the server for a while", async () => {
    const seen = await query("count_over_time(up[1m]) > 12 and up == 1").catch((error) => error.message);
    return { done: Array.isArray(seen) && seen.length > 0, seen };
  }, { ms: 60_000, every: 500 });
  const dashboard = JSON.parse(await readFile(path.join(grafana, "ringcast.json"), "utf8"));
  const expressions = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
  assert.ok(expressions.length > 50);
  const empty = [];
  for (const { title, expr } of expressions) {
    const filled = expr.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "10s").replaceAll("$__range", "1m");
    const series = await query(filled);
    const values = series.map(({ value }) => Number(value[1]));
    if (values.length === 0 || !values.every(Number.isFinite)) empty.push(`${title}: ${expr} is ${values.length ? values : "empty"}`);
  }
  assert.deepEqual(empty, []);
  const { data } = await (await fetch(`${asked}/rules`)).json();
  const rules = data.groups.flatMap((group) => group.rules);
  assert.ok(rules.length >= 13);
  // Some devices segment nothing, and that is told.
  const loud = rules.filter(({ name, state, health }) => health !== "ok" || (state !== "inactive" && name !== "RingcastOffloadLost"));
  assert.deepEqual(loud.map(({ name, state, lastError }) => ({ name, state, lastError })), []);
  const [build] = await query("ringcast_build_info");
  assert.match(build.metric.commit, /^([0-9a-f]{12}(-modified)?|unknown)$/);
});
