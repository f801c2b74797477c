/** The uWebSockets.js transport keeps the transports' contract; and what it must get right that memory has not: fragments and refusals on the wire. */
import t, { type Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import type { FrontOptions } from '../../src/front/front-options.ts';
import { HttpGateway } from '../../src/front/http-gateway.ts';
import { pack, unpackMany } from '../../src/protocol/codec.ts';
import { CONNECT_PATH, MessageType, SUBPROTOCOL } from '../../src/protocol/types.ts';
import { UwsServer } from '../../src/transport/uws-server.ts';
import { RawWebSocket } from '../support/raw-websocket.ts';
import { type OpenTransport, type RelayUnderTest, Rig, transportContract } from './transport.contract.ts';

async function listen({ front, options }: RelayUnderTest): Promise<{ readonly port: number; close(): void }> {
  const gateway = new HttpGateway(
    front,
    { httpRequestTimeoutMs: 1_000, httpBodyBytesMax: 65_536, httpPendingMax: 16, httpBatchMessagesMax: 16 },
    systemClock,
  );
  const { messageBytesMax, mergedFrameBytesMax, sendQueueBytesMax } = options;
  const limits = {
    messageBytesMax,
    mergedFrameBytesMax,
    sendQueueBytesMax,
    httpBodyBytesMax: 65_536,
    httpBodiesBytesMax: 1_048_576,
    httpBodyTimeoutMs: 10_000,
    httpConnectionsMax: 1_000,
    allowedOrigins: [],
    trustedProxies: [],
  };
  const server = new UwsServer({ host: '127.0.0.1', port: 0, ...limits, compression: false }, front, gateway, systemClock);
  const port = await server.listen();
  return {
    port,
    close: () => {
      gateway.close();
      server.close();
    },
  };
}

const open: OpenTransport = async (relay) => {
  const { port, close } = await listen(relay);
  return {
    connect: async ({ subprotocol = SUBPROTOCOL } = {}) => {
      const result = await RawWebSocket.open({ port, path: CONNECT_PATH, subprotocol });
      if (result instanceof RawWebSocket) return result;
      const retryAfter = result.headers.get('retry-after');
      return { status: result.status, retryAfterSeconds: retryAfter === undefined ? null : Number(retryAfter) };
    },
    close,
  };
};

/** A relay of its own and one connection to it. */
async function connectRaw(
  t: Test,
  overrides: Partial<FrontOptions> = {},
): Promise<{ readonly socket: RawWebSocket; readonly port: number }> {
  let port = 0;
  await Rig.open(
    t,
    async (relay) => {
      const listening = await listen(relay);
      port = listening.port;
      return { connect: () => Promise.reject(new Error('not used')), close: listening.close };
    },
    overrides,
  );
  const socket = await RawWebSocket.open({ port, path: CONNECT_PATH, subprotocol: SUBPROTOCOL });
  if (!(socket instanceof RawWebSocket)) throw new Error(`refused: ${socket.status}`);
  t.teardown(() => socket.cut());
  return { socket, port };
}

t.test('the contract', async (t) => transportContract(t, open));

t.test('a message in fragments, with a ping between them, is one message', async (t) => {
  const { socket } = await connectRaw(t);
  const bytes = pack([MessageType.HELLO, 1, { client: 'in pieces' }]);
  socket.sendFragments(bytes.subarray(0, 1), bytes.subarray(1, 9), bytes.subarray(9));
  t.match(unpackMany(await socket.next()), [[MessageType.OK, 1]]);
});

t.test('the upgrade names the subprotocol that was agreed on', async (t) => {
  const { socket, port } = await connectRaw(t);
  t.equal(socket.subprotocol, SUBPROTOCOL);
  const among = await RawWebSocket.open({ port, path: CONNECT_PATH, subprotocol: `relay.v9, ${SUBPROTOCOL}` });
  t.ok(among instanceof RawWebSocket && among.subprotocol === SUBPROTOCOL, 'one of several');
  if (among instanceof RawWebSocket) among.cut();
  const none = await RawWebSocket.open({ port, path: CONNECT_PATH });
  t.match(none, { status: 400, body: /relay\.v1/ });
});

t.test('a refusal by rate says when to come again', async (t) => {
  const { port } = await connectRaw(t, { connectRatePerSecond: 1 });
  const refusal = await RawWebSocket.open({ port, path: CONNECT_PATH, subprotocol: SUBPROTOCOL });
  if (refusal instanceof RawWebSocket) throw new Error('let in');
  t.equal(refusal.status, 503);
  t.equal(refusal.headers.get('retry-after'), '1');
  t.match(refusal.body, /connectRatePerSecond=1/);
});
