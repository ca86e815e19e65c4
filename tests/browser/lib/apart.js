// Imported first, this runs a test file again in a network namespace of its own, with nothing in it but `lo`: whatever
// addresses, routes and cables the tests give it, they are gone with the process, and this machine's own network has none.

import { spawn } from "node:child_process";
import { once } from "node:events";

const MARK = "IN_NETWORK_OF_ITS_OWN";

if (!process.env[MARK]) {
  const command = ["unshare", "--net", "setpriv", "--pdeathsig", "TERM", process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn(command[0], command.slice(1), { stdio: "inherit", env: { ...process.env, [MARK]: "yes" } });
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, "exit");
  process.exit(code ?? 1);
}
