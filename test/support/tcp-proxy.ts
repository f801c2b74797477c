/**
 * TcpProxy: what lies between a client and the relay, with ways to break: cut all wires, keep newcomers waiting, let nothing through.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';

interface Wire {
  readonly client: Socket;
  readonly relay: Socket;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #wires = new Set<Wire>();
  /** Newcomers of a held proxy. */
  readonly #waiting = new Set<Socket>();
  #held = false;
  #muted = false;
  #targetPort: number;
  #connectCount = 0;
  #counted: { readonly count: number; resolve(): void }[] = [];

  static async start(t: Test, targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => proxy.#close());
    return proxy;
  }

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((client) => {
      client.on('error', () => {});
      client.setNoDelay(true);
      if (this.#held) {
        this.#waiting.add(client);
        client.once('close', () => this.#waiting.delete(client));
      } else this.#join(client);
      this.#connectCount++;
      for (const counted of this.#counted.filter(({ count }) => count <= this.#connectCount)) {
        this.#counted.splice(this.#counted.indexOf(counted), 1);
        counted.resolve();
      }
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  get openCount(): number {
    return this.#wires.size;
  }

  /** Resolves when so many clients have come, waiting ones included, since the proxy was started. */
  connected(count: number): Promise<void> {
    if (this.#connectCount >= count) return Promise.resolve();
    return new Promise((resolve) => this.#counted.push({ count, resolve }));
  }

  /** Resets every connection on both sides, in the middle of whatever it was doing. */
  cut(): void {
    for (const { client, relay } of this.#wires) {
      client.resetAndDestroy();
      relay.resetAndDestroy();
    }
    this.#wires.clear();
  }

  /** Newcomers are accepted and get nowhere until `release`. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    for (const client of this.#waiting) this.#join(client);
    this.#waiting.clear();
  }

  /** What the relay says does not reach the clients any more; what they say still reaches it. Ends with the connection. */
  mute(): void {
    this.#muted = true;
    for (const { relay } of this.#wires) relay.pause();
  }

  unmute(): void {
    this.#muted = false;
    for (const { relay } of this.#wires) relay.resume();
  }

  #join(client: Socket): void {
    const relay = connect(this.#targetPort, '127.0.0.1');
    relay.setNoDelay(true);
    relay.on('error', () => {});
    const wire = { client, relay };
    this.#wires.add(wire);
    for (const [source, target] of [
      [client, relay],
      [relay, client],
    ] as const) {
      source.on('data', (data) => {
        // Keeps backpressure: a slow client must be slow for the relay too.
        if (!target.write(data)) {
          source.pause();
          target.once('drain', () => {
            if (!this.#muted || source !== relay) source.resume();
          });
        }
      });
      source.once('end', () => target.end());
      source.once('close', () => {
        this.#wires.delete(wire);
        target.destroySoon();
      });
    }
    if (this.#muted) relay.pause();
  }

  #close(): Promise<void> {
    this.cut();
    for (const client of this.#waiting) client.destroy();
    return new Promise((resolve) => void this.#server.close(() => resolve()));
  }
}
