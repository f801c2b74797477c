/**
 * The relay's public door: WebSockets at /v1/connect and the HTTP routes beside it, on uWebSockets.js.
 *
 * Thread: the main thread; uWS must not live in a worker (terminating one that holds an App aborts the process). Adapts, decides nothing:
 * admission, sessions and answers are the front's. Every uWS socket method but getUserData throws after close, hence the `open` flag.
 */

import type { Front } from '../front/front.ts';
import type { HttpGateway, HttpResponse } from '../front/http-gateway.ts';
import { type Connection, SendResult } from '../front/ports.ts';
import type { Session } from '../front/session.ts';
import { CONNECT_PATH, SUBPROTOCOL } from '../protocol/types.ts';
import { listenExclusively, loadUws } from './uws.ts';
import type { UwsApp, UwsListenSocket, UwsModule, UwsRequest, UwsResponse, UwsWebSocket } from './uws-types.ts';

export interface ServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly messageBytesMax: number;
  readonly mergedFrameBytesMax: number;
  readonly sendQueueBytesMax: number;
  readonly httpBodyBytesMax: number;
  /** Of all requests that are being read at once. */
  readonly httpBodiesBytesMax: number;
  readonly compression: boolean;
}

interface SocketData {
  /** One property, read once per event: uWS's user data object is slow to reach. */
  readonly c: UwsConnection;
}

class UwsConnection implements Connection {
  readonly #compress: boolean;
  #socket: UwsWebSocket<SocketData> | null = null;
  session: Session | null = null;

  constructor(compress: boolean) {
    this.#compress = compress;
  }

  /** Asked for by logs only: reading it costs more than a small send. */
  get remoteAddress(): string {
    return this.#socket === null ? '' : ADDRESS.decode(this.#socket.getRemoteAddressAsText());
  }

  opened(socket: UwsWebSocket<SocketData>): void {
    this.#socket = socket;
  }

  /** From here on every call does nothing: the socket's methods would throw. */
  closed(): void {
    this.#socket = null;
  }

  send(frame: Uint8Array): number {
    return this.#socket === null ? SendResult.WRITTEN : this.#socket.send(frame, true, this.#compress);
  }

  ping(): void {
    this.#socket?.ping();
  }

  bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  close(code: number, reason: string): void {
    this.#socket?.end(code, reason);
  }

  terminate(): void {
    this.#socket?.close();
  }
}

/** Over what the front ever leaves in uWS's buffer (its limit is in the send queues), so that uWS itself never drops, control frames included. */
const BACKPRESSURE_HEADROOM_BYTES = 1_048_576;
const ADDRESS = new TextDecoder();

export class UwsServer {
  readonly #uws: UwsModule = loadUws();
  readonly #app: UwsApp;
  readonly #front: Front;
  readonly #gateway: HttpGateway;
  readonly #options: ServerOptions;
  #listening: UwsListenSocket | null = null;
  #httpBodiesBytes = 0;
  httpBodiesRefused = 0;

  constructor(options: ServerOptions, front: Front, gateway: HttpGateway) {
    this.#options = options;
    this.#front = front;
    this.#gateway = gateway;
    this.#app = this.#uws.App();
    this.#routeWebSockets();
    this.#app.any('/*', (response, request) => this.#onRequest(response, request));
  }

  /** The port it listens on. Rejects where another process has the port: two servers would share it in silence. */
  async listen(): Promise<number> {
    const { socket, port } = await listenExclusively(this.#app, this.#options, { perhaps: ' (another relay?)' });
    this.#listening = socket;
    return port;
  }

  /** No new connections; those that are open stay. */
  stopListening(): void {
    if (this.#listening !== null) this.#uws.us_listen_socket_close(this.#listening);
    this.#listening = null;
  }

  /** Ends everything at once. */
  close(): void {
    this.stopListening();
    this.#app.close();
  }

  #routeWebSockets(): void {
    const { messageBytesMax, mergedFrameBytesMax, sendQueueBytesMax, compression } = this.#options;
    const front = this.#front;
    this.#app.ws<SocketData>(CONNECT_PATH, {
      compression: compression ? this.#uws.SHARED_COMPRESSOR : this.#uws.DISABLED,
      // uWS cuts the connection without a close code; the front answers 1009 for what is over its own bound and under this one.
      maxPayloadLength: 4 * messageBytesMax,
      idleTimeout: 0, // The front pings, so that its close code says why.
      sendPingsAutomatically: false,
      maxBackpressure: 2 * sendQueueBytesMax + messageBytesMax + mergedFrameBytesMax + BACKPRESSURE_HEADROOM_BYTES,
      closeOnBackpressureLimit: false,
      upgrade: (response, request, context) => {
        const protocols = request.getHeader('sec-websocket-protocol');
        if (!protocols.split(',').some((protocol) => protocol.trim() === SUBPROTOCOL)) {
          refuse(response, '400 Bad Request', `the subprotocol must be ${SUBPROTOCOL}, got '${protocols}'\n`);
          return;
        }
        const address = front.limits.usesAddress ? ADDRESS.decode(response.getRemoteAddressAsText()) : '';
        const admission = front.admit(address);
        if (!admission.admitted) {
          refuse(response, statusLine(admission.status), `${admission.reason}\n`, admission.retryAfterSeconds);
          return;
        }
        response.upgrade<SocketData>(
          { c: new UwsConnection(compression) },
          request.getHeader('sec-websocket-key'),
          SUBPROTOCOL,
          request.getHeader('sec-websocket-extensions'),
          context,
        );
      },
      open: (socket) => {
        const connection = socket.getUserData().c;
        connection.opened(socket);
        connection.session = front.open(connection);
      },
      message: (socket, message, isBinary) => {
        front.onMessage(socket.getUserData().c.session as Session, new Uint8Array(message), isBinary);
      },
      drain: (socket) => front.onDrain(socket.getUserData().c.session as Session),
      pong: (socket) => front.onPong(socket.getUserData().c.session as Session),
      ping: (socket) => front.onPing(socket.getUserData().c.session as Session),
      close: (socket, code) => {
        const connection = socket.getUserData().c;
        connection.closed();
        front.onClose(connection.session as Session, code);
      },
    });
  }

  #onRequest(response: UwsResponse, request: UwsRequest): void {
    const head = {
      method: request.getMethod().toUpperCase(),
      path: request.getUrl(),
      query: request.getQuery() ?? '',
      contentType: request.getHeader('content-type'),
      accept: request.getHeader('accept'),
      address: this.#front.limits.usesAddress ? ADDRESS.decode(response.getRemoteAddressAsText()) : '',
    };
    const { httpBodyBytesMax, httpBodiesBytesMax } = this.#options;
    const chunks: Uint8Array[] = [];
    let bodyBytes = 0;
    let keptBytes = 0;
    let ended = false;
    const release = (): void => {
      ended = true;
      this.#httpBodiesBytes -= keptBytes;
      keptBytes = 0;
    };
    let abandon = (): void => {};
    response.onAborted(() => {
      release();
      abandon();
    });
    response.onData((chunk, isLast) => {
      if (ended) return;
      bodyBytes += chunk.byteLength;
      if (this.#httpBodiesBytes + chunk.byteLength > httpBodiesBytesMax) {
        release();
        this.httpBodiesRefused++;
        refuse(
          response,
          '503 Service Unavailable',
          `too much is being read at once: httpBodiesBytesMax=${httpBodiesBytesMax}\n`,
          1,
        );
        return;
      }
      if (bodyBytes <= httpBodyBytesMax) {
        chunks.push(new Uint8Array(chunk.slice(0)));
        keptBytes += chunk.byteLength;
        this.#httpBodiesBytes += chunk.byteLength;
      }
      if (!isLast) return;
      // One byte over the bound stands for all that was: the gateway sees that it is too large and answers 413.
      const body = bodyBytes > httpBodyBytesMax ? new Uint8Array(httpBodyBytesMax + 1) : concatenate(chunks, bodyBytes);
      abandon = this.#gateway.handle({ ...head, body }, (answer) => {
        if (ended) return;
        release();
        write(response, answer);
      });
    });
  }
}

function write(response: UwsResponse, answer: HttpResponse): void {
  response.cork(() => {
    response.writeStatus(statusLine(answer.status));
    for (const [name, value] of Object.entries(answer.headers)) response.writeHeader(name, value);
    // One request per connection (the second argument closes it, and says so): this uWS accepts two different Content-Length headers, which
    // a shared connection could smuggle with.
    response.end(answer.body, true);
  });
}

function refuse(response: UwsResponse, status: string, text: string, retryAfterSeconds?: number): void {
  response.cork(() => {
    response.writeStatus(status).writeHeader('Content-Type', 'text/plain; charset=utf-8');
    if (retryAfterSeconds !== undefined) response.writeHeader('Retry-After', String(retryAfterSeconds));
    response.end(text, true);
  });
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  200: 'OK',
  207: 'Multi-Status',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  507: 'Insufficient Storage',
};

export function statusLine(status: number): string {
  return `${status} ${STATUS_TEXTS[status] ?? 'Status'}`;
}

function concatenate(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  if (chunks.length === 1) return chunks[0] as Uint8Array;
  const body = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}
