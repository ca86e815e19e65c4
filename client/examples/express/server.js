// A site of its own: a page for calls, and the proxy that keeps the secret.
//
//   RINGCAST_SECRET=... node server.js        RINGCAST_APP_URL unless the server is on this machine, PORT unless 3000

import { fileURLToPath } from "node:url";
import express from "express";
import { createPeople } from "./people.js";
import { createProxy } from "./proxy.js";

const { RINGCAST_APP_URL: app = "http://127.0.0.1:8080/v1/apps/my-app", RINGCAST_SECRET: secret, PORT = "3000" } = process.env;
if (!secret) {
  process.stderr.write("Set RINGCAST_SECRET to the secret of the application, and RINGCAST_APP_URL (http://host:8080/v1/apps/APP) unless it is my-app on this machine.\n");
  process.exit(2);
}

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const server = express();
server.use(express.static(file("public")));
server.get("/ringcast-client.js", (_, response) => response.sendFile(file("../../src/session.js")));
server.use("/people", createPeople(express));
server.use(createProxy(express, { app, secret, secure: process.env.NODE_ENV === "production" }));
server.listen(Number(PORT), "127.0.0.1", () => process.stdout.write(`http://127.0.0.1:${PORT}/\n`));
