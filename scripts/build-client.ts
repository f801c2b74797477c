/**
 * Builds the SDK: one minified ESM file without dependencies for browsers and Node, with its type declarations beside it.
 *
 *   dist/client/relay-client.js      what users load
 *   dist/client/relay-client.d.ts    its types; they live in dist/client/types/
 *
 * Prints the sizes; exits 1 above GZIP_BYTES_MAX.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

export const GZIP_BYTES_MAX = 15_000;

const root = fileURLToPath(new URL('..', import.meta.url));
const outDirectory = `${root}dist/client/`;

export interface Bundle {
  readonly code: Uint8Array;
  readonly gzipBytes: number;
}

export async function bundleClient(): Promise<Bundle> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    banner: { js: '// Clari RELAY client, Apache-2.0' },
  });
  const code = (outputFiles[0] as (typeof outputFiles)[0]).contents;
  return { code, gzipBytes: gzipSync(code, { level: 9 }).length };
}

/** Declarations of what the entry reaches, from the source. Their imports say `.ts`, which only this project allows: they become `.js`. */
function emitTypes(): void {
  const tsc = spawnSync(
    `${root}node_modules/.bin/tsc`,
    [
      ...['--declaration', '--emitDeclarationOnly', '--outDir', `${outDirectory}types`, '--rootDir', 'src'],
      ...[
        '--target',
        'es2024',
        '--lib',
        'es2024,esnext.disposable,dom',
        '--module',
        'nodenext',
        '--moduleResolution',
        'nodenext',
        '--types',
        '',
      ],
      ...['--strict', '--allowImportingTsExtensions', '--skipLibCheck', '--ignoreConfig', 'src/client/index.ts'],
    ],
    { cwd: root, encoding: 'utf8' },
  );
  if (tsc.status !== 0) throw new Error(`tsc could not emit the declarations:\n${tsc.stdout}${tsc.stderr}`);
  for (const name of readdirSync(`${outDirectory}types`, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue;
    const file = `${outDirectory}types/${name}`;
    writeFileSync(file, readFileSync(file, 'utf8').replace(/(['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2'));
  }
  // The reference brings Symbol.asyncDispose to users whose own `lib` is older.
  writeFileSync(
    `${outDirectory}relay-client.d.ts`,
    `/// <reference lib="esnext.disposable" />\nexport * from './types/client/index.js';\n`,
  );
}

async function main(): Promise<void> {
  rmSync(outDirectory, { recursive: true, force: true });
  mkdirSync(outDirectory, { recursive: true });
  const { code, gzipBytes } = await bundleClient();
  writeFileSync(`${outDirectory}relay-client.js`, code);
  emitTypes();
  console.log(`dist/client/relay-client.js: ${code.length} bytes, ${gzipBytes} gzipped (at most ${GZIP_BYTES_MAX})`);
  if (gzipBytes > GZIP_BYTES_MAX) {
    console.error(`build-client: ${gzipBytes - GZIP_BYTES_MAX} bytes too many`);
    process.exitCode = 1;
  }
}

if (import.meta.main ?? process.argv[1] === fileURLToPath(import.meta.url)) await main();
