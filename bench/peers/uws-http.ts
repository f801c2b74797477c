/**
 * What closing costs: plain uWebSockets.js that answers every request with the same few bytes, and keeps the connection or closes it.
 *
 *   node bench/peers/uws-http.ts --port 9001 [--close]        prints `listening PORT`; SIGTERM ends it
 *
 * The relay closes each connection after its answer (docs/decisions/0002-uwebsockets-traps.md). The difference of these two is the price of that, whoever pays it: a
 * TCP handshake, a socket made and ended on both sides, and a request that cannot share a turn with the one before it.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { loadUws } from '../../src/transport/uws.ts';

/** The few calls used here; the package carries no types. */
interface HttpResponse {
  writeHeader(name: string, value: string): HttpResponse;
  end(body: string, closeConnection: boolean): void;
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): void;
  onAborted(handler: () => void): void;
}
interface HttpApp {
  any(pattern: string, handler: (response: HttpResponse) => void): HttpApp;
  listen(host: string, port: number, listening: (listenSocket: object | false) => void): HttpApp;
}
interface HttpModule {
  App(): HttpApp;
  us_socket_local_port(listenSocket: object): number;
}

const { values } = parseArgs({
  options: { port: { type: 'string', default: '9001' }, close: { type: 'boolean', default: false } },
});
const BODY = '{"epoch":"0000000000","offset":1}';
const uws = loadUws() as unknown as HttpModule;
const app = uws.App();
app.any('/*', (response) => {
  let isAborted = false;
  response.onAborted(() => {
    isAborted = true;
  });
  response.onData((_chunk, isLast) => {
    if (isLast && !isAborted) response.writeHeader('Content-Type', 'application/json').end(BODY, values.close);
  });
});
app.listen('127.0.0.1', Number(values.port), (listenSocket) => {
  if (listenSocket === false) {
    process.stderr.write(`cannot listen on port ${values.port}\n`);
    process.exit(1);
  }
  process.stdout.write(`listening ${uws.us_socket_local_port(listenSocket)}\n`);
});
process.on('SIGTERM', () => process.exit(0));
