// Pion, as Debian ships it, beside Chromium: it answers `setup:passive` to an ice-lite offerer, so the server begins DTLS.
// PION_CLIENT names the client, pion/main.go as `run` builds it. Without it the tests are skipped.

import { existsSync } from "node:fs";
import path from "node:path";
import { after, afterEach, before, describe } from "node:test";
import { fileURLToPath } from "node:url";
import { expectations } from "../lib/native.js";
import { useOutside } from "../lib/outside.js";
import { useRig } from "../lib/rig.js";

const here = path.dirname(fileURLToPath(import.meta.url));
const client = process.env.PION_CLIENT ?? path.resolve(here, "../../.cache/pion/client");
const skip = existsSync(client) ? false : `${client} is not there`;

describe("Pion", { skip }, () => {
  const rig = useRig({ before, after, afterEach }, { server: { extra: ["--log", "debug"] } });
  expectations("Pion", rig, useOutside({ afterEach }, "Pion", [client]), ["RSA", "P-384", "P-521"]);
});
