// A router that keeps the secret of an application on the server.
//
//   /partytracks/...   what partytracks calls, passed on with the secret. A session belongs to the browser that made it,
//                      by a cookie; other calls of the API are not passed on
//   POST /token        a token for a browser that calls Ringcast itself

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

const SESSION = /^\/sessions\/([0-9a-f]{32})(\/(tracks\/(new|update|close)|renegotiate|datachannels\/(establish|new|update|close)))?$/;
const BODY_MAX = "1mb";

/** Reads cookies; the last of several with one name counts. */
const cookiesOf = (request) =>
  new Map((request.headers.cookie ?? "").split(";").map((pair) => pair.trim().split("=", 2)).filter(({ length }) => length === 2));

/**
 * `express`: the module. `app`: https://host/v1/apps/APP. `scope`: the rights of tokens. `userOf`: names who is asking,
 * null for nobody; put your own login there. `secure`: whether browsers reach this over https.
 */
export function createProxy(express, { app, secret, scope = { publish: ["*"], subscribe: ["*"] }, userOf = () => randomUUID(), secure = true }) {
  const router = express.Router();
  const proofOf = (sessionId) => createHmac("sha256", secret).update(`proxied session ${sessionId}`).digest("base64url");
  const isOwner = (request, sessionId) => {
    const given = Buffer.from(cookiesOf(request).get(`ringcast-${sessionId}`) ?? "");
    const expected = Buffer.from(proofOf(sessionId));
    return given.length === expected.length && timingSafeEqual(given, expected);
  };

  /** Passes a call on and sends the answer as it comes, whatever its status: clients know what it means. */
  async function pass(request, response, path, { body, onReply = () => {} } = {}) {
    const headers = { Authorization: `Bearer ${secret}` };
    const reply = await fetch(`${app}${path}`, { method: request.method, headers, body, redirect: "manual", signal: AbortSignal.timeout(30_000) });
    const text = await reply.text();
    onReply(reply, text);
    for (const name of ["content-type", "retry-after", "cache-control"]) {
      if (reply.headers.has(name)) response.setHeader(name, reply.headers.get(name));
    }
    response.status(reply.status).send(text);
  }

  router.use((request, response, next) => {
    request.user = userOf(request);
    if (request.user) next();
    else response.status(401).json({ errorCode: "unauthorized", errorDescription: "Log in first." });
  });

  // partytracks sends its JSON as text/plain, so a body is taken as it is.
  router.use("/partytracks", express.text({ type: () => true, limit: BODY_MAX }));

  router.get("/partytracks/generate-ice-servers", (request, response) => pass(request, response, "/generate-ice-servers"));

  router.post("/partytracks/sessions/new", (request, response) =>
    pass(request, response, "/sessions/new", {
      body: request.body || undefined,
      onReply: (reply, text) => {
        if (!reply.ok) return;
        const { sessionId } = JSON.parse(text);
        const path = `${request.baseUrl}/partytracks/sessions/${sessionId}`;
        const flags = `HttpOnly; SameSite=Strict; Path=${path}${secure ? "; Secure" : ""}`;
        response.append("Set-Cookie", `ringcast-${sessionId}=${proofOf(sessionId)}; ${flags}`);
      },
    }),
  );

  router.use("/partytracks", (request, response) => {
    const [, sessionId] = SESSION.exec(request.path) ?? [];
    if (!sessionId) return response.status(404).json({ errorCode: "not_found", errorDescription: "This is not passed on." });
    if (!isOwner(request, sessionId)) {
      return response.status(403).json({ errorCode: "forbidden", errorDescription: "This session was made by another browser." });
    }
    const hasBody = request.method !== "GET" && request.method !== "HEAD";
    return pass(request, response, request.path, { body: (hasBody && request.body) || undefined });
  });

  router.post("/token", async (request, response) => {
    const reply = await fetch(`${app}/ext/tokens`, {
      method: "POST",
      headers: { Authorization: `Bearer ${secret}` },
      body: JSON.stringify({ sub: request.user, ttl: 600, ...scope }),
    });
    response.status(reply.status).setHeader("cache-control", "no-store").json(await reply.json());
  });

  router.use((error, request, response, next) => {
    if (response.headersSent) return next(error);
    // sessions/new without a JSON body makes partytracks try again.
    const status = error.status ?? 502;
    if (request.path === "/partytracks/sessions/new") return response.status(status).end();
    return response.status(status).json({ errorCode: "temporarily_unavailable_error", errorDescription: "Ringcast cannot be reached." });
  });
  return router;
}
