/**
 * The full client: topics, and with them services and workflows. docs/client.md is the guide.
 */

import { MessageType } from '../protocol/types.ts';
import { type CallOptions, CallStream, call, type StreamOptions } from './calls.ts';
import { Client, type ClientCore } from './client.ts';
import type { ClientOptions } from './options.ts';
import type { RequestOptions } from './requests.ts';
import type { Service, ServiceOptions } from './service.ts';
import type { ServiceHandlers } from './service-call.ts';
import { type ServiceInfo, Services } from './services.ts';
import { Workflow } from './workflows.ts';

export class FullClient extends Client {
  readonly #core: ClientCore;
  readonly #services: Services;

  constructor(options: ClientOptions) {
    let core!: ClientCore;
    let services!: Services;
    super(options, (given) => {
      core = given;
      services = new Services(given);
      return services;
    });
    this.#core = core;
    this.#services = services;
    this.on('token-refreshed', () => services.refreshed());
  }

  /**
   * Calls a method of a service, wherever an instance of it is. Resolves with its result; rejects with a RelayError: SERVICE_ERROR carries the
   * service's own `code` and `text` in its facts.
   */
  call<T = unknown>(service: string, method: string, payload?: unknown, options: CallOptions = {}): Promise<T> {
    return call(this.#core, service, method, payload, options);
  }

  /** Calls a method that streams its result. It is sent at once; read it by a `for await` loop. */
  callStream<T = unknown>(service: string, method: string, payload?: unknown, options: StreamOptions = {}): CallStream<T> {
    return new CallStream(this.#core, service, method, payload, options);
  }

  /** Serves calls as an instance of this service, from now on and after every reconnect, until `stop()`. */
  service(name: string, handlers: ServiceHandlers, options: ServiceOptions): Service {
    return this.#services.add(name, handlers, options);
  }

  /** What is registered, by name or pattern. */
  services(
    pattern = '>',
    { instances, ...options }: RequestOptions & { readonly instances?: boolean } = {},
  ): Promise<readonly ServiceInfo[]> {
    const read = ({ services }: { services: readonly ServiceInfo[] }) => services;
    return this.#core.run(MessageType.SERVICES, [pattern, { instances }], read, options);
  }

  workflow(name: string): Workflow {
    return new Workflow(this, this.#core, name);
  }
}

export function createClient(options: ClientOptions): FullClient {
  return new FullClient(options);
}
