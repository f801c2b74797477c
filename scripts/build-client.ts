/**
 * Builds the SDK: minified ESM files without dependencies for browsers and Node, each with its type declarations beside it. Users load one of the first two.
 *
 *   dist/client/relay-client.js       topics
 *   dist/client/relay-client-full.js  the same, and services and workflows
 *   dist/client/relay-client-encryption.js  end-to-end encryption, beside either of them
 *   dist/client/*.d.ts                their types; they live in dist/client/types/
 *
 * Prints the sizes; exits 1 above the bound of an entry.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, type Plugin } from 'esbuild';
import { CLOSE_CODES, type CloseCodeName, WIRE_ERRORS, type WireErrorName } from '../src/protocol/codes.ts';
import { MessageType, type MessageTypeName } from '../src/protocol/types.ts';

export interface ClientEntry {
  /** Of the source and, without the directory, of the declarations. */
  readonly source: string;
  readonly file: string;
  readonly gzipBytesMax: number;
}

export const CLIENT_ENTRIES = {
  topics: { source: 'index', file: 'relay-client', gzipBytesMax: 15_000 },
  full: { source: 'full', file: 'relay-client-full', gzipBytesMax: 18_500 },
  encryption: { source: 'encryption', file: 'relay-client-encryption', gzipBytesMax: 5_500 },
} as const satisfies Record<string, ClientEntry>;

const root = fileURLToPath(new URL('..', import.meta.url));
const outDirectory = `${root}dist/client/`;

export interface Bundle {
  readonly code: Uint8Array;
  readonly gzipBytes: number;
}

/** `MessageType.PUBLISH` becomes 2, and so on: esbuild does not look into objects, and they would cost 350 bytes gzipped. */
const inlinedNumbers: Plugin = {
  name: 'inlined-numbers',
  setup({ onLoad }) {
    onLoad({ filter: /src\/(client|protocol)\/[\w-]+\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8')
        .replace(/\bMessageType\.([A-Z]+)\b/g, (_, name: MessageTypeName) => String(MessageType[name]))
        .replace(/\bCLOSE_CODES\.(\w+)\.code\b/g, (_, name: CloseCodeName) => String(CLOSE_CODES[name].code))
        .replace(/\bWIRE_ERRORS\.(\w+)\.code\b/g, (_, name: WireErrorName) => String(WIRE_ERRORS[name].code));
      return { contents, loader: 'ts' };
    });
  },
};

export async function bundleClient({ source }: ClientEntry): Promise<Bundle> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [`src/client/${source}.ts`],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    plugins: [inlinedNumbers],
    banner: { js: '// Clari RELAY client, Apache-2.0' },
  });
  const code = (outputFiles[0] as (typeof outputFiles)[0]).contents;
  return { code, gzipBytes: gzipSync(code, { level: 9 }).length };
}

/** Declarations of what the entries reach, from the source. Their imports say `.ts`, which only this project allows: they become `.js`. */
export function emitTypes(directory: string): void {
  const tsc = spawnSync(
    `${root}node_modules/.bin/tsc`,
    [
      ...['--declaration', '--emitDeclarationOnly', '--outDir', `${directory}types`, '--rootDir', 'src'],
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
      ...[
        '--strict',
        '--allowImportingTsExtensions',
        '--skipLibCheck',
        '--ignoreConfig',
        'src/client/full.ts',
        'src/client/encryption.ts',
      ],
    ],
    { cwd: root, encoding: 'utf8' },
  );
  if (tsc.status !== 0) throw new Error(`tsc could not emit the declarations:\n${tsc.stdout}${tsc.stderr}`);
  for (const name of readdirSync(`${directory}types`, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue;
    const file = `${directory}types/${name}`;
    writeFileSync(file, readFileSync(file, 'utf8').replace(/(['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2'));
  }
  // The reference brings Symbol.asyncDispose to users whose own `lib` is older.
  for (const { source, file } of Object.values(CLIENT_ENTRIES)) {
    const types = `/// <reference lib="esnext.disposable" />\nexport * from './types/client/${source}.js';\n`;
    writeFileSync(`${directory}${file}.d.ts`, types);
  }
}

async function main(): Promise<void> {
  rmSync(outDirectory, { recursive: true, force: true });
  mkdirSync(outDirectory, { recursive: true });
  for (const entry of Object.values(CLIENT_ENTRIES)) {
    const { file, gzipBytesMax } = entry;
    const { code, gzipBytes } = await bundleClient(entry);
    writeFileSync(`${outDirectory}${file}.js`, code);
    console.log(`dist/client/${file}.js: ${code.length} bytes, ${gzipBytes} gzipped (at most ${gzipBytesMax})`);
    if (gzipBytes > gzipBytesMax) {
      console.error(`build-client: ${file}: ${gzipBytes - gzipBytesMax} bytes too many`);
      process.exitCode = 1;
    }
  }
  emitTypes(outDirectory);
}

if (import.meta.main ?? process.argv[1] === fileURLToPath(import.meta.url)) await main();
