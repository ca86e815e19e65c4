// The package client/ as npm packs it, and tokens by the libraries that the README names. No browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import jwt from "jsonwebtoken";
import { startServer } from "../lib/server.js";

const here = path.dirname(fileURLToPath(import.meta.url));
let folder;
let server;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-package-"));
  server = await startServer();
}, { timeout: 60_000 });
after(async () => {
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Names that a class has for its users. */
const members = (one) => Object.getOwnPropertyNames(one.prototype).filter((name) => name !== "constructor");

test("the packed package resolves by its names, and its types know what it exports", async () => {
  const packed = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", folder], { cwd: path.join(here, "../../../client"), encoding: "utf8" }));
  const [{ filename }] = packed;
  const target = path.join(folder, "node_modules/ringcast-client");
  await mkdir(target, { recursive: true });
  execFileSync("tar", ["-xzf", path.join(folder, filename), "--strip-components=1", "-C", target]);
  await symlink(path.join(here, "../node_modules/rxjs"), path.join(folder, "node_modules/rxjs"));
  await writeFile(path.join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(path.join(folder, "load.js"), 'export * as all from "ringcast-client";\nexport * as session from "ringcast-client/session";\n');
  const { all, session } = await import(pathToFileURL(path.join(folder, "load.js")));
  assert.deepEqual(Object.keys(all).sort(), ["ApiError", "LevelMeter", "Ringcast", "RingcastClient", "Stage", "callApi"]);
  assert.equal(session.RingcastClient, all.RingcastClient);

  const names = (from, exported) =>
    Object.entries(exported).flatMap(([name, value]) => [`void ${from}.${name};`, ...(value.prototype ? members(value).map((member) => `null! as ${from}.${name}[${JSON.stringify(member)}];`) : [])]);
  const text = `import * as all from "ringcast-client";
import * as session from "ringcast-client/session";
${[...names("all", all), ...names("session", session)].join("\n")}
const client = new all.Ringcast({ apiUrl: "/v1/apps/a", onTrack: (track, { id, trackName }) => void [track.kind, id, trackName] });
const published: { sessionId: string; trackName: string } = await client.publishTrack(null! as MediaStreamTrack);
const track: MediaStreamTrack = await client.subscribeToTrack({ ...published, simulcast: { preferredRid: "h" } });
client.localTracks$.subscribe((tracks) => void [...tracks.keys()]);
new session.RingcastClient({ base: "", key: "" }).addEventListener("refused", ({ detail }) => void detail.error.status);
new all.Stage(client, { name: "main", size: 2 }).seats$.subscribe((seats) => void seats.map(({ level }) => level.toFixed(1)));
// @ts-expect-error Its name is missing.
client.subscribeToTrack({ sessionId: "" });
// @ts-expect-error There is no such method.
client.publishEverything(track);
`;
  await writeFile(path.join(folder, "app.ts"), text);
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"];
  const tsc = path.join(here, "../node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, ...options, "app.ts"], { cwd: folder, encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout);
  }
});

/** Whether a token that was made elsewhere opens a session. */
const opens = async (token) => (await server.api("POST", "sessions/new", { token })).status;

test("tokens by jsonwebtoken are taken", async () => {
  const claims = { iss: server.app, aud: "ringcast", sub: "user-17", publish: ["*"], subscribe: ["*"] };
  const sign = (secret) => jwt.sign(claims, secret, { algorithm: "HS256", expiresIn: "1h" });
  assert.equal(await opens(sign(server.secret)), 201);
  assert.equal(await opens(sign(`${server.secret}x`)), 401);
});

test("tokens by PyJWT are taken", async () => {
  const recipe = `import jwt, os, time
now = int(time.time())
claims = {"iss": os.environ["APP"], "aud": "ringcast", "sub": "user-17", "iat": now, "exp": now + 3600, "subscribe": ["*"]}
print(jwt.encode(claims, os.environ["SECRET"], algorithm="HS256"))`;
  const sign = (SECRET) => execFileSync(process.env.AIORTC_PYTHON, ["-c", recipe], { encoding: "utf8", env: { APP: server.app, SECRET } }).trim();
  assert.equal(await opens(sign(server.secret)), 201);
  assert.equal(await opens(sign(`${server.secret}x`)), 401);
});
