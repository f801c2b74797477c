/**
 * uWebSockets.js: the one place that names its package (it is not on npm under its own name; the platform builds are), and how a port is taken.
 */
import { createRequire } from 'node:module';
import type { UwsApp, UwsListenSocket, UwsModule } from './uws-types.ts';

const PACKAGE_PREFIX = '@uwsjs/linux-x64-';

export function loadUws(): UwsModule {
  const nodeMajor = process.versions.node.split('.')[0];
  const name = PACKAGE_PREFIX + nodeMajor;
  try {
    return createRequire(import.meta.url)(name) as UwsModule;
  } catch (cause) {
    throw new Error(
      `uWebSockets.js could not be loaded: there must be a package ${name} that fits this Node ${process.version} and glibc. ` +
        'The pinned Node 22 has one for glibc 2.27 or later: `npm start` and `npm run relay` use it. ' +
        'The one for Node 24 needs glibc 2.38 or later (Debian 13, Ubuntu 24.04) and is installed if npm runs on Node 24: `USE_SYSTEM_NODE=1 npm start`.',
      { cause },
    );
  }
}

/** Rejects where another process has the port: two servers would share it in silence. `of` and `perhaps` go into the error's text. */
export function listenExclusively(
  app: UwsApp,
  { host, port }: { readonly host: string; readonly port: number },
  { of = '', perhaps = '' }: { readonly of?: string; readonly perhaps?: string },
): Promise<{ readonly socket: UwsListenSocket; readonly port: number }> {
  const uws = loadUws();
  return new Promise((resolve, reject) => {
    app.listen(host, port, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
      if (socket !== false) resolve({ socket, port: uws.us_socket_local_port(socket) });
      else {
        const where = `${host}:${port}${of}`;
        reject(new Error(`cannot listen on ${where}: the port is taken${perhaps}, not permitted, or no address of this machine`));
      }
    });
  });
}
