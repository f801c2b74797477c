/**
 * The ops door, on a port of its own (loopback by default): /livez, /readyz, /metrics.
 *
 * Thread: main. Reads, decides nothing. Not for clients: it has no limits of its own.
 */
import { loadUws } from './uws.ts';
import { statusLine } from './uws-server.ts';
import type { UwsApp, UwsListenSocket, UwsModule, UwsResponse } from './uws-types.ts';

export interface OpsSources {
  health(): { readonly live: boolean; readonly ready: boolean };
  /** Prometheus text. */
  metrics(): Promise<string>;
}

export class OpsServer {
  readonly #uws: UwsModule = loadUws();
  readonly #app: UwsApp;
  readonly #options: { readonly host: string; readonly port: number };
  #listening: UwsListenSocket | null = null;

  constructor(options: { readonly host: string; readonly port: number }, sources: OpsSources) {
    this.#options = options;
    this.#app = this.#uws.App();
    this.#app.get('/livez', (response) => {
      const health = sources.health();
      answer(response, health.live ? 200 : 503, 'application/json', JSON.stringify(health));
    });
    this.#app.get('/readyz', (response) => {
      const health = sources.health();
      answer(response, health.ready ? 200 : 503, 'application/json', JSON.stringify(health));
    });
    this.#app.get('/metrics', (response) => {
      let aborted = false;
      response.onAborted(() => {
        aborted = true;
      });
      sources.metrics().then(
        (text) => {
          if (!aborted) answer(response, 200, 'text/plain; version=0.0.4; charset=utf-8', text);
        },
        (error: unknown) => {
          if (!aborted) answer(response, 500, 'text/plain; charset=utf-8', `metrics could not be read: ${String(error)}\n`);
        },
      );
    });
    this.#app.any('/*', (response) =>
      answer(response, 404, 'text/plain; charset=utf-8', 'here are /livez, /readyz and /metrics\n'),
    );
  }

  listen(): Promise<number> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#app.listen(host, port, this.#uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (token) => {
        if (token === false) {
          reject(
            new Error(
              `cannot listen on ${host}:${port} (ops port): the port is taken, not permitted, or no address of this machine`,
            ),
          );
          return;
        }
        this.#listening = token;
        resolve(this.#uws.us_socket_local_port(token));
      });
    });
  }

  close(): void {
    if (this.#listening !== null) this.#uws.us_listen_socket_close(this.#listening);
    this.#listening = null;
    this.#app.close();
  }
}

function answer(response: UwsResponse, status: number, contentType: string, body: string): void {
  response.cork(() => {
    response
      .writeStatus(statusLine(status))
      .writeHeader('Content-Type', contentType)
      .writeHeader('Cache-Control', 'no-store')
      .end(body);
  });
}
