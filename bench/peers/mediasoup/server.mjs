// An SFU made with mediasoup, to be measured beside Ringcast by the same load generator.
//
// It speaks the part of Ringcast's HTTP API that the load generator uses. A session is one WebRtcTransport, which may
// carry both directions; media is forwarded by one worker process alone, whose pid is written to the given file. This
// program only tells the worker what to do, and is idle while media flows.

import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { clientCapabilities, describe, dtlsOf, routerCodecs, sectionsOf } from './sdp.mjs';

const REQUEST_BYTES_MAX = 1 << 20;

const { values: args } = parseArgs({
  options: { listen: { type: 'string' }, 'media-address': { type: 'string' }, pidfile: { type: 'string' } },
});

// Two versions stand side by side under two names.
const { default: mediasoup } = await import(process.env.MEDIASOUP_PACKAGE ?? 'mediasoup');
const worker = await mediasoup.createWorker({
  logLevel: 'error',
  disableLiburing: process.env.MEDIASOUP_LIBURING === 'off',
});
worker.on('died', (error) => {
  console.error(`mediasoup: the worker has died: ${error}`);
  process.exit(1);
});
const router = await worker.createRouter({ mediaCodecs: routerCodecs });
const capabilities = clientCapabilities(router.rtpCapabilities);
const sessions = new Map();

async function newSession() {
  const transport = await router.createWebRtcTransport({
    listenInfos: [{ protocol: 'udp', ip: args['media-address'] }],
  });
  const id = randomUUID();
  sessions.set(id, {
    transport, number: sessions.size + 1, version: 0, sections: [], publications: new Map(), connected: false,
  });
  return { sessionId: id };
}

function sessionOf(id) {
  const session = sessions.get(id);
  if (!session) {
    throw new Error(`there is no session ${id}`);
  }
  return session;
}

async function connect(session, sdp) {
  if (!session.connected) {
    session.connected = true;
    await session.transport.connect({ dtlsParameters: dtlsOf(sdp) });
  }
}

async function push(session, offer, tracks) {
  const offered = sectionsOf(offer.sdp);
  for (const track of tracks) {
    const section = offered.find((one) => one.mid === track.mid);
    if (!section?.rtpParameters) {
      throw new Error(`section ${track.mid} cannot be published`);
    }
    const { kind, mid, rtpParameters } = section;
    const producer = await session.transport.produce({ kind, rtpParameters });
    session.publications.set(track.trackName, producer);
    session.sections.push({ kind, mid, sends: false, rtpParameters });
  }
  await connect(session, offer.sdp);
  return { sessionDescription: describe(session, 'answer'), tracks };
}

async function pull(session, tracks) {
  for (const track of tracks) {
    const producer = sessionOf(track.sessionId).publications.get(track.trackName);
    if (!producer) {
      throw new Error(`session ${track.sessionId} has no track ${track.trackName}`);
    }
    const consumer = await session.transport.consume({
      producerId: producer.id, rtpCapabilities: capabilities, mid: `s${session.sections.length}`, paused: true,
    });
    const { kind, rtpParameters } = consumer;
    session.sections.push({ kind, mid: rtpParameters.mid, sends: true, name: consumer.id, rtpParameters, consumer });
  }
  return { sessionDescription: describe(session, 'offer'), requiresImmediateRenegotiation: true, tracks };
}

async function renegotiate(session, answer) {
  await connect(session, answer.sdp);
  // Now that the client knows what it gets: the worker asks for a keyframe by itself.
  for (const { consumer } of session.sections.filter((section) => section.consumer?.paused)) {
    await consumer.resume();
  }
  return {};
}

async function bodyOf(request) {
  let text = '';
  for await (const part of request.setEncoding('utf8')) {
    text += part;
    if (text.length > REQUEST_BYTES_MAX) {
      throw new Error('the request is too long');
    }
  }
  return text ? JSON.parse(text) : {};
}

async function obey(request) {
  const body = await bodyOf(request);
  const [v1, apps, , word, id, ...rest] = request.url.split('/').filter(Boolean);
  const call = [request.method, v1, apps, word, ...rest].join(' ');
  if (call === 'POST v1 apps sessions' && id === 'new') {
    return newSession();
  }
  if (call === 'POST v1 apps sessions tracks new') {
    const session = sessionOf(id);
    return body.sessionDescription
      ? push(session, body.sessionDescription, body.tracks)
      : pull(session, body.tracks);
  }
  if (call === 'PUT v1 apps sessions renegotiate') {
    return renegotiate(sessionOf(id), body.sessionDescription);
  }
  throw new Error(`there is no call ${request.method} ${request.url}`);
}

const server = createServer(async (request, response) => {
  try {
    const reply = await obey(request);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply));
  } catch (error) {
    response.writeHead(400, { 'content-type': 'text/plain' }).end(String(error));
  }
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    worker.on('subprocessclose', () => process.exit(0));
    worker.close();
  });
}
writeFileSync(args.pidfile, `${worker.pid}\n`);
const [, host, port] = /^(.*):(\d+)$/.exec(args.listen);
server.listen(Number(port), host.replace(/^\[|\]$/g, ''), () => console.log('ready'));
