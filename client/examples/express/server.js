// Serves the proxy:  RINGCAST_APP_URL=http://127.0.0.1:8080/v1/apps/my-app RINGCAST_SECRET=... node server.js

import express from "express";
import { createProxy } from "./proxy.js";

const { RINGCAST_APP_URL: app, RINGCAST_SECRET: secret, PORT = "3000" } = process.env;
if (!app || !secret) throw new Error("Set RINGCAST_APP_URL (https://host/v1/apps/APP) and RINGCAST_SECRET.");

const server = express();
server.use(createProxy(express, { app, secret, secure: process.env.NODE_ENV === "production" }));
server.listen(Number(PORT), () => process.stdout.write(`http://127.0.0.1:${PORT}/partytracks\n`));
