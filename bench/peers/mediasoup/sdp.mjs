// Descriptions of sessions: reads from an offer what mediasoup has to be told, and writes what mediasoup says.
//
// Both sides are kept as small as the load generator's clients need: VP8 and Opus, one bundle, no simulcast.

const MID_EXTENSION = 'urn:ietf:params:rtp-hdrext:sdes:mid';
const FEEDBACK = ['nack', 'nack pli', 'ccm fir'];

// What the router may use, and with it what a client is offered: neither REMB nor transport-wide congestion control,
// so that no peer does more than another.
export const routerCodecs = [
  {
    kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2, preferredPayloadType: 111,
    parameters: { minptime: 10, useinbandfec: 1 },
  },
  { kind: 'video', mimeType: 'video/VP8', clockRate: 90000, preferredPayloadType: 96 },
];

const feedbackName = (one) => [one.type, one.parameter].filter(Boolean).join(' ');

export function clientCapabilities(router) {
  return {
    codecs: router.codecs.map((codec) => ({
      ...codec,
      rtcpFeedback: (codec.rtcpFeedback ?? []).filter((one) => FEEDBACK.includes(feedbackName(one))),
    })),
    headerExtensions: router.headerExtensions.filter((extension) => extension.uri === MID_EXTENSION),
  };
}

// --- Reading --------------------------------------------------------------------------------------------------------

function attributes(lines, name) {
  const begin = `a=${name}:`;
  return lines.filter((line) => line.startsWith(begin)).map((line) => line.slice(begin.length));
}

// The lines before the first section, and those of each section.
function split(sdp) {
  const parts = [[]];
  for (const line of sdp.split(/\r?\n/)) {
    if (line.startsWith('m=')) {
      parts.push([]);
    }
    parts.at(-1).push(line);
  }
  return { session: parts[0], sections: parts.slice(1) };
}

// How the other side is known in DTLS; it is the DTLS client, since we never are.
export function dtlsOf(sdp) {
  const [algorithm, value] = (attributes(sdp.split(/\r?\n/), 'fingerprint')[0] ?? '').split(' ');
  if (!value) {
    throw new Error('the description has no fingerprint');
  }
  return { role: 'client', fingerprints: [{ algorithm: algorithm.toLowerCase(), value }] };
}

function parametersOf(fmtp) {
  const pairs = fmtp.split(';').filter(Boolean).map((pair) => pair.trim().split('='));
  return Object.fromEntries(pairs.map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value]));
}

function codecOf(kind, lines, payloadType) {
  const own = (name) => attributes(lines, name).find((text) => text.startsWith(`${payloadType} `));
  const [name, clockRate, channels] = (own('rtpmap') ?? '').split(' ').at(-1).split('/');
  const feedback = attributes(lines, 'rtcp-fb').filter((text) => text.startsWith(`${payloadType} `));
  return {
    mimeType: `${kind}/${name}`,
    payloadType,
    clockRate: Number(clockRate),
    ...(channels ? { channels: Number(channels) } : {}),
    parameters: parametersOf((own('fmtp') ?? '').split(' ').slice(1).join(' ')),
    rtcpFeedback: feedback.map((text) => text.slice(`${payloadType} `.length))
      .filter((text) => FEEDBACK.includes(text))
      .map((text) => ({ type: text.split(' ')[0], parameter: text.split(' ')[1] ?? '' })),
  };
}

// The sections of an offer as mediasoup wants to be told of what it is to receive.
export function sectionsOf(sdp) {
  return split(sdp).sections.map((lines) => {
    const [kind, , , ...payloadTypes] = lines[0].slice(2).split(' ');
    const codecs = payloadTypes.map((payloadType) => codecOf(kind, lines, Number(payloadType)));
    const wanted = codecs.find((codec) => ['video/VP8', 'audio/opus'].includes(codec.mimeType));
    const repairs = codecs.filter((codec) => codec.mimeType === `${kind}/rtx`);
    const repair = repairs.find((codec) => codec.parameters.apt === wanted?.payloadType);
    const [first] = attributes(lines, 'ssrc');
    const group = attributes(lines, 'ssrc-group').find((text) => text.startsWith('FID '))?.split(' ');
    const ssrc = Number(group?.[1] ?? first?.split(' ')[0]);
    const cname = attributes(lines, 'ssrc').map((text) => / cname:(.*)/.exec(text)?.[1]).find(Boolean);
    const extensions = attributes(lines, 'extmap').map((text) => text.split(' '));
    const mid = attributes(lines, 'mid')[0];
    return {
      kind,
      mid,
      rtpParameters: wanted && {
        mid,
        codecs: repair ? [wanted, repair] : [wanted],
        headerExtensions: extensions.filter(([, uri]) => uri === MID_EXTENSION)
          .map(([id, uri]) => ({ id: Number(id), uri })),
        encodings: [repair && group ? { ssrc, rtx: { ssrc: Number(group[2]) } } : { ssrc }],
        rtcp: { cname, reducedSize: true },
      },
    };
  });
}

// --- Writing --------------------------------------------------------------------------------------------------------

function codecLines(codec) {
  const { payloadType } = codec;
  const name = [codec.mimeType.split('/')[1], codec.clockRate, codec.channels > 1 ? codec.channels : []].flat();
  const parameters = Object.entries(codec.parameters).map((pair) => pair.join('='));
  return [
    `a=rtpmap:${payloadType} ${name.join('/')}`,
    ...(parameters.length ? [`a=fmtp:${payloadType} ${parameters.join(';')}`] : []),
    ...codec.rtcpFeedback.map((one) => `a=rtcp-fb:${payloadType} ${feedbackName(one)}`),
  ];
}

function streamLines({ encodings: [{ ssrc, rtx }], rtcp: { cname } }, name) {
  const ssrcs = rtx ? [ssrc, rtx.ssrc] : [ssrc];
  return [
    `a=msid:${name} ${name}`,
    ...(rtx ? [`a=ssrc-group:FID ${ssrcs.join(' ')}`] : []),
    ...ssrcs.map((one) => `a=ssrc:${one} cname:${cname}`),
  ];
}

function sectionLines(section, transport, setup) {
  const { kind, mid, sends, rtpParameters } = section;
  const { iceParameters, iceCandidates, dtlsParameters } = transport;
  const fingerprint = dtlsParameters.fingerprints.find((one) => one.algorithm === 'sha-256');
  return [
    `m=${kind} 9 UDP/TLS/RTP/SAVPF ${rtpParameters.codecs.map((codec) => codec.payloadType).join(' ')}`,
    'c=IN IP4 0.0.0.0',
    `a=mid:${mid}`,
    sends ? 'a=sendonly' : 'a=recvonly',
    'a=rtcp-mux',
    'a=rtcp-rsize',
    `a=ice-ufrag:${iceParameters.usernameFragment}`,
    `a=ice-pwd:${iceParameters.password}`,
    `a=fingerprint:${fingerprint.algorithm} ${fingerprint.value}`,
    `a=setup:${setup}`,
    ...rtpParameters.headerExtensions.map((extension) => `a=extmap:${extension.id} ${extension.uri}`),
    ...rtpParameters.codecs.flatMap(codecLines),
    ...(sends ? streamLines(rtpParameters, section.name) : []),
    ...iceCandidates.map((one) =>
      `a=candidate:${one.foundation} 1 ${one.protocol} ${one.priority} ${one.address} ${one.port} typ ${one.type}`),
    'a=end-of-candidates',
  ];
}

// Our description of a session: an offer lets the other side choose its part in DTLS, an answer takes the passive one.
export function describe(session, type) {
  const setup = type === 'offer' ? 'actpass' : 'passive';
  session.version += 1;
  const lines = [
    'v=0',
    `o=- ${session.number} ${session.version} IN IP4 0.0.0.0`,
    's=-',
    't=0 0',
    'a=ice-lite',
    `a=group:BUNDLE ${session.sections.map((section) => section.mid).join(' ')}`,
    'a=msid-semantic: WMS *',
    ...session.sections.flatMap((section) => sectionLines(section, session.transport, setup)),
  ];
  return { type, sdp: `${lines.join('\r\n')}\r\n` };
}
