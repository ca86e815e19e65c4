// webrtc-rs beside Chromium. `run` builds its client and starts this.

import { after, afterEach, before, describe } from "node:test";
import { expectations } from "../../lib/native.js";
import { useOutside } from "../../lib/outside.js";
import { useRig } from "../../lib/rig.js";

describe("webrtc-rs", () => {
  const rig = useRig({ before, after, afterEach });
  expectations("webrtc-rs", rig, useOutside({ afterEach }, "webrtc-rs", [process.env.WEBRTC_RS_CLIENT]));
});
