/**
 * Floor: the least a WebSocket server can do for the same deliveries, plain uWebSockets.js publish/subscribe. What the relay is compared with.
 *
 *   node bench/peers/uws-floor.ts --port 9001        prints `listening PORT`; SIGTERM ends it
 *
 * ws://host:port/?room=R subscribes to R; every binary message goes to everyone in R, the sender too, as the relay's echo does.
 * It does less than the relay on purpose: no reply to a publish (the relay sends one OK per publish with an id), no encoding (what comes in goes
 * out), no order of its own, no history, no permissions, no flow control but uWebSockets.js's silent drop. Compression is off in both.
 */
import { parseArgs } from 'node:util';
import { loadUws } from '../../src/transport/uws.ts';

/** The few calls used here; the package carries no types. */
interface FloorSocket {
  subscribe(topic: string): boolean;
  getUserData(): { room: string };
}
interface FloorResponse {
  upgrade(userData: { room: string }, key: string, protocol: string, extensions: string, context: unknown): void;
  writeStatus(status: string): FloorResponse;
  end(body: string): void;
}
interface FloorRequest {
  getQuery(key: string): string | undefined;
  getHeader(name: string): string;
}
interface FloorApp {
  ws(pattern: string, behavior: object): FloorApp;
  listen(host: string, port: number, listening: (listenSocket: object | false) => void): FloorApp;
  publish(topic: string, message: ArrayBuffer, isBinary: boolean, compress: boolean): boolean;
  close(): void;
}
interface FloorModule {
  App(): FloorApp;
  DISABLED: number;
  us_socket_local_port(listenSocket: object): number;
}

/** Far above anything a run queues: a floor that drops would look fast. */
const BACKPRESSURE_BYTES_MAX = 64 * 1024 * 1024;
const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;

const { values } = parseArgs({ options: { port: { type: 'string', default: '9001' } } });
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  process.stderr.write(`--port must be an integer in [0, 65535], got '${values.port}'\n`);
  process.exit(2);
}

const uws = loadUws() as unknown as FloorModule;
const app = uws.App();
app.ws('/*', {
  compression: uws.DISABLED,
  maxPayloadLength: PAYLOAD_BYTES_MAX,
  maxBackpressure: BACKPRESSURE_BYTES_MAX,
  idleTimeout: 120,
  upgrade: (response: FloorResponse, request: FloorRequest, context: unknown) => {
    const room = request.getQuery('room') ?? '';
    if (room === '') {
      response.writeStatus('400 Bad Request').end('room is missing');
      return;
    }
    response.upgrade(
      { room },
      request.getHeader('sec-websocket-key'),
      request.getHeader('sec-websocket-protocol'),
      request.getHeader('sec-websocket-extensions'),
      context,
    );
  },
  open: (socket: FloorSocket) => {
    socket.subscribe(socket.getUserData().room);
  },
  message: (socket: FloorSocket, message: ArrayBuffer) => {
    // The app's publish reaches the sender as well; the socket's own would leave it out.
    app.publish(socket.getUserData().room, message, true, false);
  },
});
app.listen('127.0.0.1', port, (listenSocket) => {
  if (listenSocket === false) {
    process.stderr.write(`cannot listen on port ${port}\n`);
    process.exit(1);
  }
  process.stdout.write(`listening ${uws.us_socket_local_port(listenSocket)}\n`);
});
process.on('SIGTERM', () => process.exit(0));
