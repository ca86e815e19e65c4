// Network namespaces for browsers: bare ones, and one with several addresses, which can be taken away, and a lossy way in.

import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { CHROMIUM } from "./chromium.js";

const run = promisify(execFile);
let count = 0;

/** Whether this machine lets us make one, and lose packets in it. */
export async function canMakeNetns() {
  const name = `rcprobe${process.pid}`;
  const nft = (...args) => run("ip", ["netns", "exec", name, "nft", ...args]);
  try {
    await run("ip", ["netns", "add", name]);
    await nft("add", "table", "netdev", "loss");
    await nft("add", "chain", "netdev", "loss", "way", "{ type filter hook egress device lo priority 0; }");
    return true;
  } catch {
    return false;
  } finally {
    await run("ip", ["netns", "del", name]).catch(() => {});
  }
}

/** What runs that were killed have left behind; deleting a namespace takes both ends of its cable along. */
async function removeLeftovers() {
  const { stdout } = await run("ip", ["netns", "list"]);
  for (const [, name, pid] of stdout.matchAll(/^(rc(\d+)n\d+)\b/gm)) {
    if (!existsSync(`/proc/${pid}`)) await run("ip", ["netns", "del", name]).catch(() => {});
  }
}

/** A network namespace in which nothing but `lo` is up, and a command that starts Chromium in it. */
export async function makeNamespace() {
  await removeLeftovers();
  count += 1;
  const name = `rc${process.pid}n${count}`;
  const folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-netns-"));
  const within = (...args) => run("ip", ["netns", "exec", name, ...args]);
  // Also when the process is ended in the middle of a test.
  const atExit = () => {
    try {
      execFileSync("ip", ["netns", "del", name], { stdio: "ignore" });
    } catch {
      // It is gone already.
    }
  };
  const atSignal = () => process.exit(1);
  process.on("exit", atExit).on("SIGTERM", atSignal).on("SIGINT", atSignal);
  const stop = async () => {
    process.off("exit", atExit).off("SIGTERM", atSignal).off("SIGINT", atSignal);
    await run("ip", ["netns", "del", name]).catch(() => {});
    await rm(folder, { recursive: true, force: true });
  };
  await run("ip", ["netns", "add", name]);
  try {
    await within("ip", "link", "set", "lo", "up");
    const executablePath = path.join(folder, "chromium");
    await writeFile(executablePath, `#!/bin/sh\nexec ip netns exec ${name} ${CHROMIUM} "$@"\n`);
    await chmod(executablePath, 0o755);
    return { name, number: count, within, executablePath, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export async function makeNetns() {
  const { name, number, within, executablePath, stop: remove } = await makeNamespace();
  const [outside, inside] = [`rco${process.pid % 10_000}n${number}`, `rci${process.pid % 10_000}n${number}`];
  const net = `10.77.${(process.pid + number) % 250}`;
  const host = `${net}.1`;
  const addresses = [`${net}.2`, `${net}.3`];
  const stop = async () => {
    await remove();
    await run("ip", ["link", "del", outside]).catch(() => {});
  };
  // Each address stands alone (/32): of two in one subnet, the second would go with the first, and so would the routes.
  const addAddress = (address) => within("ip", "addr", "replace", `${address}/32`, "dev", inside);
  try {
    await run("ip", ["link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name]);
    await run("ip", ["addr", "add", `${host}/24`, "dev", outside]);
    await run("ip", ["link", "set", outside, "up"]);
    await addAddress(addresses[0]);
    await within("ip", "link", "set", inside, "up");
    await within("ip", "route", "add", `${host}/32`, "dev", inside);
    await within("ip", "route", "add", "default", "via", host);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    host,
    addresses,
    executablePath,
    addAddress,
    removeAddress: (address) => within("ip", "addr", "del", `${address}/32`, "dev", inside),
    /** Loses one in `n` UDP packets at random on the way in or out; 0 ends it. */
    async loseOneIn(n, way = "in") {
      await within("nft", "delete", "table", "netdev", "loss").catch(() => {});
      if (n === 0) return;
      const hook = way === "in" ? "ingress" : "egress";
      await within("nft", "add", "table", "netdev", "loss");
      await within("nft", "add", "chain", "netdev", "loss", "way", `{ type filter hook ${hook} device ${inside} priority 0; }`);
      await within("nft", "add", "rule", "netdev", "loss", "way", "meta", "l4proto", "udp", "numgen", "random", "mod", String(n), "==", "0", "drop");
    },
    /** Lets no packet of these TCP ports of ours in, as seen by the browser; none at all ends it. */
    async stallTcp(...ports) {
      await within("nft", "delete", "table", "netdev", "stall").catch(() => {});
      if (ports.length === 0) return;
      await within("nft", "add", "table", "netdev", "stall");
      await within("nft", "add", "chain", "netdev", "stall", "way", `{ type filter hook ingress device ${inside} priority 0; }`);
      for (const port of ports) await within("nft", "add", "rule", "netdev", "stall", "way", "tcp", "sport", String(port), "drop");
    },
    stop,
  };
}
