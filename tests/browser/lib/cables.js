// What networks are made of besides namespaces: cables, bridges, routers. For files that import lib/apart.js.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Where the test itself and its server are, in the form of a namespace. */
export const here = { name: null, within: (...args) => run(args[0], args.slice(1)) };

const isIpv6 = (address) => address.includes(":");

export async function addAddress(place, device, address) {
  // Without the test for duplicates an IPv6 address serves at once.
  await place.within("ip", "addr", "add", address, "dev", device, ...(isIpv6(address) ? ["nodad"] : []));
}

/** Joins two ends, `[place, device, ...addresses]`, and returns what takes the cable away. */
export async function cable(...ends) {
  const [one, other] = ends.map(([{ name }, device]) => ["name", device, ...(name ? ["netns", name] : [])]);
  await run("ip", ["link", "add", ...one, "type", "veth", "peer", ...other]);
  for (const [place, device, ...addresses] of ends) {
    for (const address of addresses) await addAddress(place, device, address);
    await place.within("ip", "link", "set", device, "up");
  }
  const [[place, device]] = ends;
  return () => place.within("ip", "link", "del", device).catch(() => {});
}

/** Joins devices of a place to one network, in which the place has an address of its own. */
export async function bridge(place, name, address, devices) {
  await place.within("ip", "link", "add", "name", name, "type", "bridge");
  for (const device of devices) await place.within("ip", "link", "set", device, "master", name);
  await addAddress(place, name, address);
  await place.within("ip", "link", "set", name, "up");
}

export const defaultRoute = (place, gateway) =>
  place.within("ip", ...(isIpv6(gateway) ? ["-6"] : []), "route", "replace", "default", "via", gateway);

/** Lets a place forward IPv4, and never tell its neighbours of shorter ways. */
export async function makeRouter(place) {
  for (const [setting, value] of [["ip_forward", 1], ["conf/all/send_redirects", 0], ["conf/default/send_redirects", 0]]) {
    await place.within("sh", "-c", `echo ${value} > /proc/sys/net/ipv4/${setting}`);
  }
}

/** Replaces a table of nftables by these chains; none at all take the table away. */
export async function filter(place, table, chains = {}) {
  const lines = Object.entries(chains).map(([name, rules]) => `chain ${name} {\n${rules.join("\n")}\n}`);
  await place.within("nft", "delete", "table", ...table.split(" ")).catch(() => {});
  if (lines.length > 0) await place.within("nft", `table ${table} {\n${lines.join("\n")}\n}`);
}

/** Packets that the rules with this comment have counted. */
export async function counted(place, table, comment) {
  const { stdout } = await place.within("nft", "--json", "list", "table", ...table.split(" "));
  const rules = JSON.parse(stdout).nftables.map(({ rule }) => rule).filter((rule) => rule?.comment === comment);
  return rules.flatMap(({ expr }) => expr).reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
}
