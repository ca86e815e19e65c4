// Firefox ESR by WebDriver BiDi, with the same test page. Only what the tests need of a tab: `evaluate`.

import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";

export const FIREFOX = process.env.FIREFOX_BIN ?? "/usr/bin/firefox-esr";

/** The tone of Firefox's own fake microphone: without a sound device its AudioContext does not run. */
export const FAKE_MICROPHONE_HZ = 700;

export async function startFirefox() {
  const userDataDir = await mkdtemp(path.join(os.tmpdir(), "ringcast-firefox-"));
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    headless: true,
    userDataDir,
    protocolTimeout: 120_000,
    extraPrefsFirefox: {
      "media.navigator.permission.disabled": true,
      "media.navigator.streams.fake": true,
      "media.navigator.audio.fake_frequency": FAKE_MICROPHONE_HZ,
      "media.autoplay.default": 0,
      "media.autoplay.blocking_policy": 0,
      // Loopback addresses are candidates, and addresses are not hidden behind .local names.
      "media.peerconnection.ice.loopback": true,
      "media.peerconnection.ice.obfuscate_host_addresses": false,
      "media.cubeb.backend": "none",
      "media.gmp-manager.url": "",
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
      "app.update.enabled": false,
      "datareporting.policy.dataSubmissionEnabled": false,
    },
  });
  return {
    async tab(url) {
      const page = await browser.newPage();
      page.consoleLines = [];
      page.on("console", (message) => page.consoleLines.push(message.text()));
      await page.goto(url);
      return page;
    },
    async stop() {
      await browser.close();
      await rm(userDataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
