// nginx, as Debian ships it, in front of a server: TLS, HTTP/2 and a path of its own, as a proxy often has them.

import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { freeTcpPort } from "./server.js";
import { until } from "./until.js";

const NGINX = process.env.NGINX_BIN ?? "/usr/sbin/nginx";

/** What a proxy tells of a client. */
export const FORWARDED = [
  "X-Forwarded-For $proxy_add_x_forwarded_for",
  "X-Forwarded-Proto $scheme",
  "X-Forwarded-Host $http_host",
];

const configuration = ({ folder, port, prefix, headers, upstream }) => `
daemon off;
${process.getuid() === 0 ? "user root; # Whose folder this is: a large offer is buffered there." : ""}
pid ${folder}/pid;
error_log stderr warn;
events {}
http {
  log_format brief '$server_protocol $request_method $uri $status';
  access_log ${folder}/access.log brief;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join("\n  ")}
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${folder}/certificate.pem;
    ssl_certificate_key ${folder}/key.pem;
    location ${prefix}/ {
      proxy_pass ${upstream}/;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      ${headers.map((header) => `proxy_set_header ${header};`).join("\n      ")}
    }
  }
}
`;

/** A port for nginx, for those who have to know it before. */
export const portForNginx = () => freeTcpPort("127.0.0.1");

/** Serves what is at `server` under `prefix`. The result is that server as its clients see it. */
export async function startNginx(server, { port, prefix = "/live", headers = FORWARDED } = {}) {
  port ??= await portForNginx();
  const folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-nginx-"));
  await mkdir(path.join(folder, "logs"));
  execFileSync("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path.join(folder, "key.pem"), "-out", path.join(folder, "certificate.pem"),
  ], { stdio: "ignore" });
  const file = path.join(folder, "nginx.conf");
  await writeFile(file, configuration({ folder, port, prefix, headers, upstream: server.origin }));
  const child = spawn(NGINX, ["-p", folder, "-c", file], { stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  let exit = null;
  child.stderr.on("data", (chunk) => (complaint = (complaint + chunk).slice(-4_000)));
  child.on("error", (error) => (exit = error.message));
  child.on("exit", (code) => (exit = code));
  const origin = `https://127.0.0.1:${port}${prefix}`;
  const front = Object.assign(Object.create(server), {
    origin,
    base: `${origin}/v1/apps/${server.app}`,
    whip: (stream) => `${origin}/whip/${server.app}/${stream}`,
    whep: (stream) => `${origin}/whep/${server.app}/${stream}`,
    /** Protocol, method, path and status of each request. */
    requests: async () => (await readFile(path.join(folder, "access.log"), "utf8")).split("\n").filter(Boolean),
    async stop() {
      if (exit === null) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGQUIT");
        const hardly = setTimeout(() => child.kill("SIGTERM"), 1_000);
        await ended;
        clearTimeout(hardly);
      }
      await rm(folder, { recursive: true, force: true });
    },
  });
  await until("nginx to take connections", async () => {
    if (exit !== null) throw Object.assign(new Error(`nginx ended: ${exit} ${complaint}`), { isFinal: true });
    // Its certificate is known to nobody: being refused for that is an answer, too.
    return fetch(origin).then(() => true, (error) => error.cause?.code !== "ECONNREFUSED");
  });
  return front;
}
