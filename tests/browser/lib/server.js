// Starts the real server on free ports, waits until it is ready, and ends exactly that process.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import dgram from "node:dgram";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./until.js";

const here = path.dirname(fileURLToPath(import.meta.url));
export const binary = process.env.RINGCAST_BIN ?? path.resolve(here, "../../../target/release/ringcast");

/** An address as it stands before a port. */
export const inUrl = (host) => (host.includes(":") ? `[${host}]` : host);

/** The command line, in one place. */
const commandLine = ({ app, secret, listen, port, adminPort, udpPort, shards, extra }) => [
  "--app", `${app}:${secret}`,
  "--listen", `${inUrl(listen)}:${port}`,
  "--admin", `127.0.0.1:${adminPort}`,
  "--media-port", String(udpPort),
  "--shards", String(shards),
  ...extra,
];

export const freeTcpPort = (host) =>
  new Promise((resolve, reject) => {
    const listener = net.createServer().once("error", reject);
    listener.listen(0, host, () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });

const bindUdp = (port) =>
  new Promise((resolve, reject) => {
    const socket = dgram.createSocket("udp4").once("error", reject);
    socket.bind(port, () => resolve(socket));
  });

/** A port from which `count` consecutive ones are free. */
export async function freeUdpPorts(count) {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const tries = await Promise.allSettled(Array.from({ length: count }, (_, index) => bindUdp(first + index)));
    tries.forEach((result) => result.value?.close());
    if (tries.every((result) => result.status === "fulfilled")) return first;
  }
  throw new Error("no free UDP ports");
}

/**
 * `host` is what the API's URLs name and `listen` where it is served, which differ behind a NAT; `under` is a command
 * that takes the server's own behind it.
 */
export async function startServer({ shards = 1, host = "127.0.0.1", listen = host, extra = [], variables = {}, under = [] } = {}) {
  const app = randomBytes(16).toString("hex");
  const secret = randomBytes(32).toString("hex");
  const [port, adminPort] = [await freeTcpPort(listen), await freeTcpPort("127.0.0.1")];
  const udpPort = await freeUdpPorts(shards);
  // The server refuses variables that it does not know, and RINGCAST_BIN is the tests' own.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("RINGCAST_"));
  const env = { ...Object.fromEntries(inherited), ...variables };
  const [command, ...args] = [...under, binary, ...commandLine({ app, secret, listen, port, adminPort, udpPort, shards, extra })];
  const child = spawn(command, args, {
    env: { ...env, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = [];
  const keep = (chunk) => {
    output.push(...String(chunk).split("\n").filter(Boolean));
    output.splice(0, output.length - 200);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  let exit = null;
  child.on("exit", (code, signal) => (exit = { code, signal }));
  child.on("error", (error) => (exit = { error: error.message }));
  const urls = (host) => {
    const origin = `http://${inUrl(host)}:${port}`;
    return {
      origin,
      base: `${origin}/v1/apps/${app}`,
      whip: (stream) => `${origin}/whip/${app}/${stream}`,
      whep: (stream) => `${origin}/whep/${app}/${stream}`,
    };
  };

  const server = {
    app, secret, output, udpPort, shards,
    admin: `http://127.0.0.1:${adminPort}`,
    ...urls(host),
    /** The same server for those who know it by another address. */
    at: (host) => Object.assign(Object.create(server), urls(host)),
    get exit() {
      return exit;
    },
    async api(method, target, { token = secret, body } = {}) {
      const response = await fetch(`${server.base}/${target}`, {
        method,
        headers: { Authorization: `Bearer ${token}` },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      return { status: response.status, reply: await response.json().catch(() => null) };
    },
    /** The session that publishes a stream. */
    async publisherOf(stream) {
      const { reply } = await server.api("GET", "ext/streams?limit=1000");
      return reply.streams.find((entry) => entry.stream === stream)?.sessionId;
    },
    /** The sum of the metrics whose name, with its labels as far as they are given, begins so. */
    async metric(name) {
      const text = await (await fetch(`${server.admin}/metrics`)).text();
      const lines = text.split("\n").filter((line) => line.startsWith(name));
      return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    },
    /** Ends a session as a fault of the server would, without telling the client. */
    loseSession: (sessionId) => server.api("DELETE", `ext/sessions/${sessionId}`),
    async stop() {
      if (exit) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const hardly = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(hardly);
    },
  };

  try {
    await until("the server to be ready", async () => {
      if (exit) throw Object.assign(new Error(`the server ended: ${JSON.stringify(exit)}\n${output.join("\n")}`), { isFinal: true });
      return fetch(`${server.admin}/readyz`).then((response) => response.ok).catch(() => false);
    });
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}
