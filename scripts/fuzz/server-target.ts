/**
 * Target `server`: a relay process of its own, and raw TCP. Handshakes and WebSocket frames are bent as well as what is in them. The process
 * must not die, lose a lane or grow without bound, and a witness with a proper WebSocket must be answered throughout.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Prng } from '../../src/base/prng.ts';
import { pack, unpackMany } from '../../src/protocol/codec.ts';
import { CONNECT_PATH, MessageType, SUBPROTOCOL } from '../../src/protocol/types.ts';
import { concatenate } from './mutator.ts';
import { ensure, Finding, type FuzzTarget } from './target.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const HOST = '127.0.0.1';
const CONNECTIONS_AT_ONCE = 16;
const MESSAGES_PER_CONNECTION_MAX = 10;
/** Silence after which a connection has said all it will. */
const SILENCE_MS = 15;
const ANSWER_TIMEOUT_MS = 10_000;
const EXIT_TIMEOUT_MS = 15_000;
const RSS_BYTES_MAX = 400 * 1_048_576;
const FLAGS = [
  ...['--host', HOST, '--port', '0', '--ops-port', '0', '--lanes', '1', '--connect-rate-per-second', '1000000'],
  ...['--hello-timeout-ms', '500', '--close-timeout-ms', '500', '--drain-window-ms', '0', '--drain-deadline-ms', '500'],
  ...['--topics-max', '1000', '--history-bytes-max', '8388608'],
];

export class ServerTarget implements FuzzTarget {
  readonly #prng: Prng;
  readonly #relay: ChildProcess;
  #log = '';
  #port = 0;
  #waiting: Uint8Array[] = [];
  #batchSize = 1;
  readonly #open = new Set<Promise<void>>();
  #witness: WebSocket | null = null;
  #witnessed: unknown[][] = [];
  #onWitnessed: (() => void) | null = null;
  #proofCount = 0;
  #connectionCount = 0;
  #answeredBytes = 0;
  #rssBytesMax = 0;

  private constructor(prng: Prng, relay: ChildProcess) {
    this.#prng = prng;
    this.#relay = relay;
    relay.stderr?.on('data', (chunk: Buffer) => {
      this.#log += chunk.toString();
    });
  }

  static async start(prng: Prng): Promise<ServerTarget> {
    const relay = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, 'serve', ...FLAGS], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const target = new ServerTarget(prng, relay);
    try {
      target.#port = await target.#listening();
      await target.#connectWitness();
    } catch (error) {
      relay.kill('SIGKILL');
      throw error;
    }
    return target;
  }

  async take(input: Uint8Array): Promise<void> {
    this.#waiting.push(input);
    if (this.#waiting.length < this.#batchSize) return;
    await this.#attack(this.#waiting);
    this.#waiting = [];
    this.#batchSize = this.#prng.nextInt(1, MESSAGES_PER_CONNECTION_MAX);
  }

  async check(): Promise<void> {
    this.#ensureAlive();
    if (this.#witness?.readyState !== WebSocket.OPEN) throw new Finding(`the witness was closed\n${this.#log}`);
    const payload = `proof ${++this.#proofCount}`;
    this.#witnessed = [];
    this.#witness.send(concatenate([pack([MessageType.PUBLISH, 7, 'witness', null, payload]), pack([MessageType.PING, 8])]));
    const has = (type: number, at: number, value: unknown): boolean =>
      this.#witnessed.some((message) => message[0] === type && message[at] === value);
    await this.#until(
      () => has(MessageType.MESSAGE, 5, payload) && has(MessageType.OK, 1, 7) && has(MessageType.OK, 1, 8),
      'the witness was not answered',
    );
    const rssBytes = residentBytes(this.#relay.pid as number);
    this.#rssBytesMax = Math.max(this.#rssBytesMax, rssBytes);
    ensure(rssBytes < RSS_BYTES_MAX, `the process has ${Math.round(rssBytes / 1_048_576)} MiB`);
  }

  async finish(): Promise<Readonly<Record<string, number>>> {
    if (this.#waiting.length > 0) await this.#attack(this.#waiting);
    await Promise.all(this.#open);
    await this.check();
    this.#relay.kill('SIGTERM');
    const timer = setTimeout(() => this.#relay.kill('SIGKILL'), EXIT_TIMEOUT_MS);
    const [code, signal] = this.#relay.exitCode === null ? await once(this.#relay, 'exit') : [this.#relay.exitCode, null];
    clearTimeout(timer);
    ensure(code === 0, `the relay ended with ${code ?? signal}\n${this.#log}`);
    return {
      connections: this.#connectionCount,
      answeredBytes: this.#answeredBytes,
      rssMbMax: Math.round(this.#rssBytesMax / 1e6),
    };
  }

  /** Whatever happens, no process is left behind. */
  kill(): void {
    this.#relay.kill('SIGKILL');
  }

  #ensureAlive(): void {
    const { exitCode, signalCode } = this.#relay;
    ensure(exitCode === null && signalCode === null, `the relay died: ${exitCode ?? signalCode}\n${this.#log}`);
    ensure(!/lane (lost|replaced)/.test(this.#log), `a lane died\n${this.#log}`);
  }

  async #listening(): Promise<number> {
    const find = (): RegExpExecArray | null => /listening on ws:\/\/[^ ]*:(\d+)\//.exec(this.#log);
    const timer = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    while (find() === null) {
      ensure(this.#relay.exitCode === null, `the relay did not start\n${this.#log}`);
      await once(this.#relay.stderr as NodeJS.ReadableStream, 'data', { signal: timer });
    }
    return Number(find()?.[1]);
  }

  // ---- the witness

  async #connectWitness(): Promise<void> {
    const witness = new WebSocket(`ws://${HOST}:${this.#port}${CONNECT_PATH}`, SUBPROTOCOL);
    witness.binaryType = 'arraybuffer';
    witness.onmessage = (event) => {
      this.#witnessed.push(...(unpackMany(new Uint8Array(event.data as ArrayBuffer)) as unknown[][]));
      this.#onWitnessed?.();
    };
    witness.onclose = () => this.#onWitnessed?.();
    this.#witness = witness;
    await new Promise((resolve, reject) => {
      witness.onopen = resolve;
      witness.onerror = () => reject(new Finding('the witness cannot connect'));
    });
    witness.send(
      concatenate([pack([MessageType.HELLO, 1, { client: 'witness' }]), pack([MessageType.SUBSCRIBE, 2, 'witness', null])]),
    );
    await this.#until(
      () => this.#witnessed.some((message) => message[0] === MessageType.OK && message[1] === 2),
      'the witness cannot subscribe',
    );
  }

  async #until(holds: () => boolean, otherwise: string): Promise<void> {
    if (holds()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Finding(`${otherwise}: ${this.#witnessed.length} messages\n${this.#log}`)),
        ANSWER_TIMEOUT_MS,
      );
      const look = (): void => {
        const isClosed = this.#witness?.readyState === WebSocket.CLOSED;
        if (!isClosed && !holds()) return;
        clearTimeout(timer);
        this.#onWitnessed = null;
        if (holds()) resolve();
        else reject(new Finding(`${otherwise}: its connection was closed\n${this.#log}`));
      };
      this.#onWitnessed = look;
      look();
    });
  }

  // ---- the attack

  async #attack(messages: readonly Uint8Array[]): Promise<void> {
    this.#ensureAlive();
    const bytes = this.#conversation(messages);
    const connection = this.#send(bytes, this.#prng.nextInt(1, 4)).finally(() => this.#open.delete(connection));
    this.#open.add(connection);
    this.#connectionCount++;
    if (this.#open.size >= CONNECTIONS_AT_ONCE) await Promise.race(this.#open);
  }

  /** Writes in so many pieces, listens until it falls silent, hangs up. */
  #send(bytes: Uint8Array, pieceCount: number): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ host: HOST, port: this.#port, noDelay: true });
      const pieceBytes = Math.ceil(bytes.length / pieceCount);
      let written = 0;
      socket.setTimeout(SILENCE_MS);
      socket.on('connect', () => {
        const writeOne = (): void => {
          if (written >= bytes.length || socket.destroyed) return;
          socket.write(bytes.subarray(written, written + pieceBytes));
          written += pieceBytes;
          setImmediate(writeOne);
        };
        writeOne();
      });
      socket.on('data', (chunk) => {
        this.#answeredBytes += chunk.length;
      });
      socket.on('timeout', () => socket.destroy());
      socket.on('error', () => undefined); // A reset is an answer like another; the witness says whether the relay lives.
      socket.on('close', () => resolve());
    });
  }

  #conversation(messages: readonly Uint8Array[]): Uint8Array {
    const prng = this.#prng;
    const choice = prng.nextInt(0, 99);
    if (choice < 10) return this.#bendText(this.#handshake());
    if (choice < 20) return this.#httpRequest(messages);
    const frames = messages.flatMap((message) => this.#frames(message));
    const hello = prng.nextBoolean(0.9)
      ? [webSocketFrame(prng, pack([MessageType.HELLO, 1, { client: `c${prng.nextInt(1, 9)}` }]))]
      : [];
    // The handshake and all frames in one go: pipelined, as a hurried client does.
    const whole = concatenate([this.#handshake(), ...hello, ...frames]);
    return choice < 25 ? whole.subarray(0, prng.nextInt(1, whole.length)) : whole;
  }

  #handshake(): Uint8Array {
    const lines = [
      `GET ${CONNECT_PATH} HTTP/1.1`,
      `Host: ${HOST}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
    ];
    return new TextEncoder().encode(`${lines.join('\r\n')}\r\n\r\n`);
  }

  #httpRequest(messages: readonly Uint8Array[]): Uint8Array {
    const prng = this.#prng;
    const body = messages[0] as Uint8Array;
    const target = prng.pick([
      '/v1/publish?topic=a',
      '/v1/publish-batch',
      '/v1/history?topic=a',
      '/v1/presence?topic=%ff',
      '/v1/position?topic=a',
      '/v1/publish?topic=%00&key=x',
      '/',
      '*',
    ]);
    const type = prng.pick(['application/msgpack', 'application/json', 'text/plain', '']);
    const length = prng.pick([String(body.length), String(body.length + 5), '0', '-1', '99999999999999999999', 'x']);
    const head = `${prng.pick(['POST', 'GET', 'PUT', 'X'])} ${target} HTTP/1.1\r\nHost: ${HOST}\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;
    const request = concatenate([new TextEncoder().encode(head), body]);
    return prng.nextBoolean(0.3) ? this.#bendText(request) : request;
  }

  #bendText(bytes: Uint8Array): Uint8Array {
    const prng = this.#prng;
    let bent = bytes.slice();
    for (let count = prng.nextInt(1, 4); count > 0; count--) {
      const at = prng.nextInt(0, bent.length - 1);
      switch (prng.nextInt(0, 5)) {
        case 0:
          bent[at] = prng.nextInt(0, 255);
          break;
        case 1:
          bent = bent.slice(0, at + 1);
          break;
        case 2:
          bent = concatenate([bent.subarray(0, at), bent.subarray(at, at + 40), bent.subarray(at)]);
          break;
        case 3:
          bent = concatenate([
            bent.subarray(0, at),
            new Uint8Array(prng.pick([1, 100, 5_000, 20_000])).fill(prng.pick([0x61, 0x0d, 0x0a, 0x00, 0x3a])),
            bent.subarray(at),
          ]);
          break;
        case 4:
          bent = concatenate([bent, bent]);
          break;
        default:
          bent = concatenate([bent.subarray(0, at), new TextEncoder().encode('\r\nContent-Length: 5\r\n'), bent.subarray(at)]);
      }
    }
    return bent;
  }

  /** A message as one frame or several, with something wrong about them now and then. */
  #frames(message: Uint8Array): Uint8Array[] {
    const prng = this.#prng;
    switch (prng.nextInt(0, 19)) {
      case 0: {
        // Fragments, perhaps with a ping between, perhaps without an end.
        const at = prng.nextInt(0, message.length);
        const first = webSocketFrame(prng, message.subarray(0, at), { isLast: false });
        const last = webSocketFrame(prng, message.subarray(at), { opcode: 0, isLast: prng.nextBoolean(0.8) });
        return prng.nextBoolean() ? [first, webSocketFrame(prng, new Uint8Array(3), { opcode: 9 }), last] : [first, last];
      }
      case 1: // Control frames, too long and in pieces among them.
        return [
          webSocketFrame(prng, new Uint8Array(prng.pick([0, 1, 2, 125, 126, 1_000])), {
            opcode: prng.pick([8, 9, 10, 11, 15]),
            isLast: prng.nextBoolean(0.8),
          }),
        ];
      case 2: // Text, continuation of nothing, opcodes nobody has defined.
        return [webSocketFrame(prng, message, { opcode: prng.pick([0, 1, 3, 7]) })];
      case 3:
        return [webSocketFrame(prng, message, { isMasked: false })];
      case 4:
        return [webSocketFrame(prng, message, { reserved: prng.nextInt(1, 7) })];
      case 5: // A length that is not true, or not in its shortest form.
        return [
          webSocketFrame(prng, message, {
            lengthForm: prng.pick([126, 127]),
            lengthOff: prng.pick([0, 0, 1, -1, 2 ** 31, 2 ** 53 - 1]),
          }),
        ];
      case 6: // A close, and more behind it.
        return [
          webSocketFrame(prng, Uint8Array.of(prng.pick([0x03, 0x00, 0xff]), prng.pick([0xe8, 0xed, 0x00]), 0xff), { opcode: 8 }),
          webSocketFrame(prng, message),
        ];
      default:
        return [webSocketFrame(prng, message)];
    }
  }
}

interface FrameOptions {
  readonly opcode?: number;
  readonly isLast?: boolean;
  readonly isMasked?: boolean;
  readonly reserved?: number;
  readonly lengthForm?: number;
  readonly lengthOff?: number;
}

function webSocketFrame(prng: Prng, payload: Uint8Array, options: FrameOptions = {}): Uint8Array {
  const { opcode = 2, isLast = true, isMasked = true, reserved = 0, lengthOff = 0 } = options;
  const length = Math.max(0, payload.length + lengthOff);
  const form = options.lengthForm ?? (length < 126 ? length : length < 65_536 ? 126 : 127);
  const head = [(isLast ? 0x80 : 0) | (reserved << 4) | opcode, (isMasked ? 0x80 : 0) | form];
  if (form === 126) head.push((length >>> 8) & 0xff, length & 0xff);
  if (form === 127) for (let shift = 7; shift >= 0; shift--) head.push(Math.floor(length / 2 ** (8 * shift)) & 0xff);
  if (!isMasked) return concatenate([Uint8Array.from(head), payload]);
  const mask = Uint8Array.from({ length: 4 }, () => prng.nextInt(0, 255));
  return concatenate([Uint8Array.from(head), mask, payload.map((byte, index) => byte ^ (mask[index & 3] as number))]);
}

function residentBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) * 1_024;
}
