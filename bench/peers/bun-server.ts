/**
 * Peer: Bun's own publish/subscribe, which its documentation names as the way to broadcast. Runs on Bun, not on Node.
 *
 *   node_modules/@oven/bun-linux-x64/bin/bun bench/peers/bun-server.ts --port 9001        prints `listening PORT`; SIGTERM ends it
 *
 * ws://host:port/?room=R subscribes to R; every binary message goes to everyone in R, the sender too.
 */
import process from 'node:process';
import { peerPort } from './port.ts';

/** The few calls used here: the rest of the project is type-checked against Node. */
interface BunSocket {
  readonly data: { readonly room: string };
  subscribe(topic: string): void;
}
interface BunServer {
  readonly port: number;
  upgrade(request: Request, options: { readonly data: { readonly room: string } }): boolean;
  publish(topic: string, message: Uint8Array): number;
}
interface BunRuntime {
  serve(options: {
    readonly hostname: string;
    readonly port: number;
    fetch(request: Request, server: BunServer): Response | undefined;
    readonly websocket: {
      readonly perMessageDeflate: boolean;
      readonly idleTimeout: number;
      readonly backpressureLimit: number;
      readonly maxPayloadLength: number;
      open(socket: BunSocket): void;
      message(socket: BunSocket, message: Uint8Array): void;
    };
  }): BunServer;
}
const bun = (globalThis as { readonly Bun?: BunRuntime }).Bun;
if (bun === undefined) throw new Error('this server runs on Bun only');

// configuration:begin
const server = bun.serve({
  hostname: '127.0.0.1',
  port: peerPort(),
  fetch: (request, self) => {
    const room = new URL(request.url).searchParams.get('room') ?? '';
    if (room !== '' && self.upgrade(request, { data: { room } })) return undefined;
    return new Response('room is missing, or this is no upgrade', { status: 400 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 120,
    maxPayloadLength: 16 * 1024 * 1024,
    backpressureLimit: 64 * 1024 * 1024, // Far above anything a run queues: a peer that drops would look fast.
    open: (socket) => socket.subscribe(socket.data.room),
    message: (socket, message) => void server.publish(socket.data.room, message),
  },
});
// configuration:end
process.stdout.write(`listening ${server.port}\n`);
process.on('SIGTERM', () => process.exit(0));
