/**
 * Loads uWebSockets.js: the one place that names its package. It is not on npm under its own name; the platform builds are.
 */
import { createRequire } from 'node:module';
import type { UwsModule } from './uws-types.ts';

const PACKAGE_PREFIX = '@uwsjs/linux-x64-';

export function loadUws(): UwsModule {
  const nodeMajor = process.versions.node.split('.')[0];
  const name = PACKAGE_PREFIX + nodeMajor;
  try {
    return createRequire(import.meta.url)(name) as UwsModule;
  } catch (cause) {
    throw new Error(
      `uWebSockets.js could not be loaded: there must be a package ${name} that fits this Node ${process.version} and glibc. ` +
        'The pinned one is for Node 22 and glibc 2.27 or later: run `npm start` or `npm run relay`, which use the pinned Node. ' +
        'For Node 24 or 26 (glibc 2.38 or later: Debian 13, Ubuntu 24.04) install @uwsjs/linux-x64-24 or -26.',
      { cause },
    );
  }
}
