// Spatial and temporal layers in one encoding. Every mode of this browser, one after another: scalability.js.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { compare } from "../lib/scalability.js";
import { useRig } from "../lib/rig.js";

const rig = useRig({ before, after, afterEach });

for (const [codec, mode] of [["VP9", "L2T3"], ["VP9", "L3T3_KEY"], ["AV1", "L1T3"], ["AV1", "L2T1"], ["AV1", "L3T2_KEY"], ["AV1", "S2T3"]]) {
  test(`${codec} in ${mode} is seen by pull and by WHEP`, async () => {
    const { good, error } = await compare(rig(), codec, mode);
    assert.ok(good, error?.message);
  });
}
