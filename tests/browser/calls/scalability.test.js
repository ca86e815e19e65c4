// Spatial and temporal layers in one encoding. Every mode of this browser, one after another: scalability.js.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { compare } from "../lib/scalability.js";
import { useRig } from "../lib/rig.js";

const rig = useRig({ before, after, afterEach });

// Temporal layers alone, spatial ones that build on each other, some that only begin so, and some that never do.
const MODES = ["L1T3", "L2T1", "L3T1", "L3T3", "L3T3_KEY", "S3T3"];

for (const [codec, mode] of ["VP9", "AV1"].flatMap((codec) => MODES.map((mode) => [codec, mode]))) {
  test(`${codec} in ${mode} is seen by pull and by WHEP`, async () => {
    const { good, error } = await compare(rig(), codec, mode);
    assert.ok(good, error?.message);
  });
}
