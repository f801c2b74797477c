/** The in-memory transport keeps the transports' contract, in both of its ways to end a connection. */
import t from 'tap';
import { isRefusal, type MemoryClient, MemoryTransport } from '../../src/transport/memory-transport.ts';
import { type ContractSocket, type OpenTransport, transportContract } from './transport.contract.ts';

class MemorySocket implements ContractSocket {
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  client: MemoryClient | null = null;
  readonly #messages: Uint8Array[] = [];
  #onMessage: () => void = () => undefined;
  #onClosed: (close: { code: number; reason: string }) => void = () => undefined;
  #isClosed = false;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#onClosed = resolve;
    });
  }

  message(bytes: Uint8Array): void {
    this.#messages.push(bytes);
    this.#onMessage();
  }

  ended(code: number, reason: string): void {
    this.#isClosed = true;
    this.#onClosed({ code, reason });
  }

  send(...messages: readonly Uint8Array[]): void {
    for (const message of messages) this.client?.send(message);
  }

  sendText(text: string): void {
    this.client?.send(new TextEncoder().encode(text), false);
  }

  async next(): Promise<Uint8Array> {
    while (this.#messages.length === 0) {
      if (this.#isClosed) throw new Error('closed');
      const arrived = new Promise<void>((resolve) => {
        this.#onMessage = resolve;
      });
      await Promise.race([arrived, this.closed]);
    }
    return this.#messages.shift() as Uint8Array;
  }

  pauseReading(): void {
    this.client?.pauseReading();
  }

  resumeReading(): void {
    this.client?.resumeReading();
  }

  close(code: number): void {
    this.client?.close(code);
  }

  cut(): void {
    this.client?.cut();
  }
}

const opens =
  (closeEvent: 'atOnce' | 'handshake'): OpenTransport =>
  async ({ front, options }) => {
    const transport = new MemoryTransport(
      {
        windowBytes: 262_144,
        bufferBytesMax: 2 * options.sendQueueBytesMax + 1_048_576,
        messageBytesMax: 4 * options.messageBytesMax,
        closeEvent,
      },
      front,
    );
    return {
      connect: async (connectOptions) => {
        const socket = new MemorySocket();
        const handler = {
          message: (bytes: Uint8Array) => socket.message(bytes),
          closed: (code: number, reason: string) => socket.ended(code, reason),
        };
        const result = transport.connect(handler, connectOptions);
        if (isRefusal(result)) return result;
        socket.client = result;
        return socket;
      },
      close: () => undefined,
    };
  };

t.test('the front hears of its own close at once', async (t) => transportContract(t, opens('atOnce')));
t.test('the front hears of its own close after the handshake', async (t) => transportContract(t, opens('handshake')));
