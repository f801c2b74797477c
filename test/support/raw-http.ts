/**
 * HTTP by hand, over a bare socket: requests that no library would send, and the answer as it came.
 */
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** Everything that came, also what came behind the first answer. */
  readonly text: string;
  /** How many answers there were. */
  readonly count: number;
}

/** What is sent: in one write, or piece by piece, each `pauseMs` after the one before. */
export interface RawRequest {
  readonly pieces: readonly (string | Uint8Array)[];
  readonly pauseMs?: number;
  readonly host?: string;
  readonly localAddress?: string;
}

/** Sends, and resolves when the server has closed the connection. Characters are bytes. */
export function exchange(port: number, request: RawRequest): Promise<RawAnswer> {
  const { pieces, pauseMs = 0, host = '127.0.0.1', localAddress } = request;
  return new Promise((resolve) => {
    const socket = connect({ port, host, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => undefined); // 'close' follows; a reset is an answer too.
    socket.on('close', () => resolve(parseAnswer(Buffer.concat(chunks).toString('latin1'))));
    socket.on('connect', () => void send(socket, pieces, pauseMs));
  });
}

async function send(socket: Socket, pieces: readonly (string | Uint8Array)[], pauseMs: number): Promise<void> {
  for (const piece of pieces) {
    if (!socket.writable) return;
    socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

export function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, Math.max(0, end)).split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const count = text.match(/HTTP\/1\.1 \d{3} /g)?.length ?? 0;
  return { status: Number(first.split(' ')[1] ?? 0), headers, body: text.slice(end + 4), text, count };
}
