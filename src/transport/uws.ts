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
        'The pinned Node 22 has one for glibc 2.27 or later: `npm start` and `npm run relay` use it. ' +
        'The one for Node 24 needs glibc 2.38 or later (Debian 13, Ubuntu 24.04) and is installed if npm runs on Node 24: `USE_SYSTEM_NODE=1 npm start`.',
      { cause },
    );
  }
}
