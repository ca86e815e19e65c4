// Networks of every kind between a browser and the server: one or both of IPv4 and IPv6, several interfaces, one-to-one
// NAT seen from outside and inside, a NAT that changes its mapping in the middle of a call. The test and its server live
// in a network namespace, each browser in another, and all cables between them are made here.

import "../lib/apart.js";
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { addAddress, bridge, cable, counted, defaultRoute, filter, here, makeRouter } from "../lib/cables.js";
import { startChromium, startPageServer } from "../lib/chromium.js";
import { makeNamespace } from "../lib/netns.js";
import { Rig, longestGaps, picture, tone } from "../lib/rig.js";
import { startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

/** What a group of tests has made, and takes away again in reverse order. */
class Site {
  rigs = [];
  ends = [];

  async place() {
    const place = await makeNamespace();
    this.ends.push(() => place.stop());
    return place;
  }

  async cable(...ends) {
    this.ends.push(await cable(...ends));
  }

  async filter(place, table, chains) {
    await filter(place, table, chains);
    this.ends.push(() => filter(place, table));
  }

  /** The server, served on every address here unless `extra` says otherwise. */
  async serve({ host, extra = [] }) {
    await here.within("ip", "link", "set", "lo", "up");
    this.server = await startServer({ host, listen: "::", shards: 2, extra });
    this.ends.push(() => this.server.stop());
    this.pages = await startPageServer({ host, listen: "::" });
    this.ends.push(() => this.pages.stop());
  }

  /** A browser in a place that knows the server by `host`. */
  async browse(place, host) {
    const rig = Object.assign(new Rig(), { server: this.server.at(host), pages: this.pages.at(host) });
    const args = [`--unsafely-treat-insecure-origin-as-secure=${new URL(rig.pages.url).origin}`];
    rig.browser = await startChromium({ executablePath: place.executablePath, hosts: [host], args });
    this.ends.push(() => rig.browser.stop());
    this.rigs.push(rig);
    return rig;
  }

  async clear() {
    for (const rig of this.rigs) await rig.clear();
  }

  async stop() {
    for (const end of this.ends.reverse()) await end();
  }
}

/** Registers the hooks of a group and returns what its tests work with. */
function useSite(build) {
  const site = new Site();
  before(() => build(site), { timeout: 60_000 });
  afterEach(() => site.clear());
  after(() => site.stop());
  return site;
}

/** Closes a place to UDP, or opens it again. */
const closeToUdp = (place, isClosed = true) =>
  filter(place, "inet gate", isClosed ? { out: ["type filter hook output priority 0;", "meta l4proto udp drop"] } : {});

/** The addresses that a client was told, loopback left out. */
async function toldAddresses(peer) {
  const { remote } = await peer.call("sdp");
  const all = [...remote.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) /gm)].map(([, address]) => address);
  return [...new Set(all)].filter((address) => address !== "127.0.0.1" && address !== "::1").sort();
}

/** By which of the server's addresses a client's media runs, and how. */
async function expectPath(peer, protocol, address) {
  const pair = await peer.call("selectedPair");
  const [, host] = pair.remote.match(/^\[?(.*?)\]?:\d+$/);
  assert.deepEqual([pair.protocol, host], [protocol, address], `${peer.name}: ${JSON.stringify(pair)}`);
}

/** Both send a picture and a sound, and both see and hear the other. */
async function expectCall(alice, bob, identity) {
  const sent = await Promise.all([
    alice.push("camera", picture(identity)), alice.push("microphone", tone(500)),
    bob.push("camera", picture(identity + 1)), bob.push("microphone", tone(800)),
  ]);
  // A pull waits two seconds for media; a new address of IPv6 may take as long to be used.
  await Promise.all([alice.connected(), bob.connected()]);
  const [fromAlice, voiceOfAlice, fromBob, voiceOfBob] = sent.map(({ metadata }) => metadata);
  const [seenByBob, heardByBob] = await Promise.all([bob.pull(fromAlice), bob.pull(voiceOfAlice)]);
  const [seenByAlice, heardByAlice] = await Promise.all([alice.pull(fromBob), alice.pull(voiceOfBob)]);
  await Promise.all([
    seenByBob.expectPicture(identity, { frames: 20 }), heardByBob.expectTone(500),
    seenByAlice.expectPicture(identity + 1, { frames: 20 }), heardByAlice.expectTone(800),
  ]);
  return { seenByBob, seenByAlice };
}

describe("IPv6 alone", () => {
  const [server, client] = ["fd77:1::1", "fd77:1::2"];
  let six;
  const site = useSite(async () => {
    const place = await site.place();
    await site.cable([here, "six", `${server}/64`], [place, "net", `${client}/64`]);
    await defaultRoute(place, server);
    await site.serve({ host: server });
    six = await site.browse(place, server);
  });

  for (const raw of [true, false]) {
    test(`${raw ? "plain clients" : "partytracks"} send and receive`, async () => {
      const [alice, bob] = [await six.peer("alice", { raw }), await six.peer("bob", { raw })];
      await expectCall(alice, bob, 20);
      for (const peer of [alice, bob]) {
        assert.deepEqual(await toldAddresses(peer), [server]);
        await expectPath(peer, "udp", server);
      }
    });
  }
});

describe("dual stack", () => {
  const servers = { six: "fd77:2::1", four: "10.78.2.1" };
  const places = {};
  const rigs = {};
  const site = useSite(async () => {
    for (const [name, client, bits] of [["six", "fd77:2::2", 64], ["four", "10.78.2.2", 24]]) {
      places[name] = await site.place();
      await site.cable([here, name, `${servers[name]}/${bits}`], [places[name], "net", `${client}/${bits}`]);
      await defaultRoute(places[name], servers[name]);
    }
    await site.serve({ host: servers.four });
    for (const [name, place] of Object.entries(places)) rigs[name] = await site.browse(place, servers[name]);
  });
  afterEach(() => closeToUdp(places.six, false));

  // No browser marks its packets unless it was promised reports of the marks, so the network does it here: the publisher's
  // host calls all that leaves it capable, and every fourth packet meets congestion.
  test("congestion bits pass from the one family to the other, and marks are counted", async () => {
    await filter(places.four, "inet marks", {
      out: [
        "type filter hook output priority 0;",
        "meta l4proto udp ip ecn set ect1",
        "meta l4proto udp numgen inc mod 4 == 0 ip ecn set ce",
      ],
    });
    await filter(places.six, "inet marks", {
      in: [
        "type filter hook input priority 0;",
        ...["not-ect", "ect0", "ect1", "ce"].map((bits) => `meta l4proto udp ip6 ecn ${bits} counter comment "${bits}"`),
      ],
    });
    try {
      const [alice, bob] = [await rigs.four.peer("alice"), await rigs.six.peer("bob")];
      const sent = await alice.push("camera", picture(35));
      const seen = await bob.pull(sent.metadata);
      await seen.expectPicture(35, { frames: 100 });
      const of = (bits) => counted(places.six, "inet marks", bits);
      const came = await until("a hundred marked packets, and some of the server's own", async () => {
        const now = { "not-ect": await of("not-ect"), ect0: await of("ect0"), ect1: await of("ect1"), ce: await of("ce") };
        return { done: now.ect1 + now.ce >= 100 && now["not-ect"] > 10, seen: now, value: now };
      });
      const what = JSON.stringify(came);
      assert.ok(came.ce > came.ect1 / 8 && came.ce < came.ect1, what);
      assert.ok(came.ect0 === 0, `the server's own packets are not marked: ${what}`);
      await until("the marks to be counted", async () => (await site.server.metric("ringcast_congestion_marks_total")) >= came.ce);
    } finally {
      await Promise.all([places.four, places.six].map((place) => filter(place, "inet marks")));
    }
  });

  test("a client with IPv6 alone and one with IPv4 alone see each other, each by its own family", async () => {
    const [alice, bob] = [await rigs.six.peer("alice"), await rigs.four.peer("bob")];
    await expectCall(alice, bob, 30);
    for (const peer of [alice, bob]) assert.deepEqual(await toldAddresses(peer), [servers.four, servers.six], "both are told to everybody");
    await expectPath(alice, "udp", servers.six);
    await expectPath(bob, "udp", servers.four);
  });

  test("a client with IPv6 alone and without UDP is served over TCP", async () => {
    await closeToUdp(places.six);
    const [alice, bob] = [await rigs.six.peer("alice"), await rigs.four.peer("bob")];
    await expectCall(alice, bob, 40);
    await expectPath(alice, "tcp", servers.six);
    await expectPath(bob, "udp", servers.four);
  });
});

describe("several interfaces", () => {
  const nets = { east: "10.78.3", west: "10.78.4" };
  const servers = { east: `${nets.east}.1`, west: `${nets.west}.1` };
  const places = {};
  const rigs = {};
  const site = useSite(async () => {
    for (const [name, net] of Object.entries(nets)) {
      places[name] = await site.place();
      await site.cable([here, name, `${servers[name]}/24`], [places[name], "net", `${net}.2/24`]);
      await defaultRoute(places[name], servers[name]);
    }
    await site.serve({ host: servers.east });
    for (const [name, place] of Object.entries(places)) rigs[name] = await site.browse(place, servers[name]);
  });
  afterEach(() => Promise.all(Object.values(places).map((place) => filter(place, "inet gate"))));

  /** Lets UDP through to one of the server's addresses alone, and counts what comes from that one and from others. */
  const onlyTo = (place, address) =>
    filter(place, "inet gate", {
      out: ["type filter hook output priority 0;", `ip daddr ${address} accept`, "meta l4proto udp drop"],
      in: [
        "type filter hook input priority 0;",
        `meta l4proto udp ip saddr ${address} counter accept comment "asked"`,
        'meta l4proto udp counter comment "not asked"',
      ],
    });
  const received = async (place) => Promise.all(["asked", "not asked"].map((comment) => counted(place, "inet gate", comment)));

  for (const [what, far] of [["on its own network", false], ["on the other interface", true]]) {
    test(`clients of two networks that reach only the address ${what} are answered from it`, async () => {
      const asked = far ? { east: servers.west, west: servers.east } : servers;
      for (const [name, place] of Object.entries(places)) await onlyTo(place, asked[name]);
      const [alice, bob] = [await rigs.east.peer("alice"), await rigs.west.peer("bob")];
      await expectCall(alice, bob, far ? 60 : 50);
      for (const [peer, name] of [[alice, "east"], [bob, "west"]]) {
        assert.deepEqual(await toldAddresses(peer), Object.values(servers));
        await expectPath(peer, "udp", asked[name]);
        const strays = await until(`${name} to get a hundred packets from the address that was asked`, async () => {
          const [answers, others] = await received(places[name]);
          return { done: answers > 100, seen: { answers, others }, value: { count: others } };
        });
        assert.equal(strays.count, 0, `${name}: packets from addresses that were not asked`);
      }
    });
  }
});

describe("one-to-one NAT", () => {
  const [PUBLIC, LAN] = ["198.51.100.80", "10.78.5"];
  let far; // A client out there,
  let neighbour; // and one in the server's own network, whose packets turn round at the router.
  const places = {};
  const site = useSite(async () => {
    for (const name of ["router", "far", "neighbour"]) places[name] = await site.place();
    await site.cable([here, "lan", `${LAN}.2/24`], [places.router, "port1"]);
    await site.cable([places.neighbour, "lan", `${LAN}.3/24`], [places.router, "port2"]);
    await bridge(places.router, "lan", `${LAN}.1/24`, ["port1", "port2"]);
    await site.cable([places.far, "net", "198.51.100.9/24"], [places.router, "wan", "198.51.100.1/24", `${PUBLIC}/32`]);
    await makeRouter(places.router);
    for (const place of [here, places.neighbour]) await defaultRoute(place, `${LAN}.1`);
    await filter(places.router, "ip nat", {
      before: ["type nat hook prerouting priority dstnat;", `ip daddr ${PUBLIC} dnat to ${LAN}.2`],
      after: [
        "type nat hook postrouting priority srcnat;",
        `ip saddr ${LAN}.2 oifname wan snat to ${PUBLIC}`,
        `ip saddr ${LAN}.0/24 ip daddr ${LAN}.2 masquerade`,
      ],
    });
    await site.serve({ host: PUBLIC, extra: ["--advertise", PUBLIC] });
    [far, neighbour] = [await site.browse(places.far, PUBLIC), await site.browse(places.neighbour, PUBLIC)];
  });
  afterEach(() => closeToUdp(places.far, false));

  for (const [how, protocol] of [["", "udp"], [", without UDP", "tcp"]]) {
    test(`a client outside${how} and one inside see each other by the public address`, async () => {
      await closeToUdp(places.far, protocol === "tcp");
      const [alice, bob] = [await far.peer("alice"), await neighbour.peer("bob")];
      await expectCall(alice, bob, protocol === "tcp" ? 80 : 70);
      for (const peer of [alice, bob]) assert.deepEqual(await toldAddresses(peer), [PUBLIC], "the private address is told to nobody");
      await expectPath(alice, protocol, PUBLIC);
      await expectPath(bob, "udp", PUBLIC);
    });
  }
});

describe("a NAT in front of a client", () => {
  const [LAN, WAN, PLAIN] = ["10.78.6", "10.78.7", "10.78.8"];
  const server = `${WAN}.1`;
  let hidden; // Behind the NAT,
  let plain; // and before the server without one.
  let router;
  const site = useSite(async () => {
    const [client, other] = [await site.place(), await site.place()];
    router = await site.place();
    await site.cable([client, "net", `${LAN}.2/24`], [router, "lan", `${LAN}.1/24`]);
    await site.cable([router, "wan", `${WAN}.2/24`], [here, "wan", `${server}/24`]);
    await site.cable([other, "net", `${PLAIN}.2/24`], [here, "plain", `${PLAIN}.1/24`]);
    await makeRouter(router);
    await defaultRoute(client, `${LAN}.1`);
    await defaultRoute(other, `${PLAIN}.1`);
    await mapTo("20000-20999");
    await site.serve({ host: server });
    [hidden, plain] = [await site.browse(client, server), await site.browse(other, server)];
  });

  const mapTo = (ports) =>
    filter(router, "ip nat", {
      after: ["type nat hook postrouting priority srcnat;", `oifname wan meta l4proto udp masquerade to :${ports}`, "oifname wan masquerade"],
    });

  /** The router forgets its mappings, which it does with the address of the interface, and makes others from now on. */
  const remap = async (former, address, ports) => {
    await router.within("ip", "addr", "del", `${former}/24`, "dev", "wan");
    await mapTo(ports);
    await addAddress(router, "wan", `${address}/24`);
  };

  /** Counts what comes from, and goes to, these ports of this address. */
  const watch = (address, ports) =>
    site.filter(here, "ip watch", {
      in: ["type filter hook input priority 0;", `ip saddr ${address} udp sport ${ports} counter comment "from"`],
      out: ["type filter hook output priority 0;", `ip daddr ${address} udp dport ${ports} counter comment "to"`],
    });

  for (const [what, former, address, ports] of [
    ["ports", `${WAN}.2`, `${WAN}.2`, "30000-30999"],
    ["address and ports", `${WAN}.2`, `${WAN}.3`, "31000-31999"],
  ]) {
    test(`a call goes on in its sessions when the ${what} of the mapping change, and no other call notices`, async (t) => {
      const [alice, bob] = [await hidden.peer("alice"), await plain.peer("bob")];
      const [carol, dave] = [await plain.peer("carol"), await plain.peer("dave")];
      const mine = await expectCall(alice, bob, 90);
      const others = await expectCall(carol, dave, 100);
      await watch(address, ports);
      const gaps = await longestGaps([mine.seenByBob, mine.seenByAlice, others.seenByBob, others.seenByAlice], async () => {
        await remap(former, address, ports);
        await Promise.all([mine.seenByBob.expectPicture(90, { frames: 40 }), mine.seenByAlice.expectPicture(91, { frames: 40 })]);
      });
      t.diagnostic(`longest time without a frame: ${gaps.slice(0, 2).map(Math.round)} ms behind the NAT, ${gaps.slice(2).map(Math.round)} ms elsewhere`);
      await until("a hundred packets each way by the new mapping", async () => {
        const [from, to] = [await counted(here, "ip watch", "from"), await counted(here, "ip watch", "to")];
        return { done: from > 100 && to > 100, seen: { from, to } };
      });
      for (const peer of [alice, bob, carol, dave]) assert.equal((await peer.call("sessions")).length, 1, `${peer.name} stays in its session`);
      for (const [pulled, identity] of [[others.seenByBob, 100], [others.seenByAlice, 101]]) {
        await pulled.expectPicture(identity);
        assert.equal((await pulled.sample()).lost ?? 0, 0, "the other call lost nothing");
      }
    });
  }
});
