/**
 * Builds dist/server/: the relay as plain JavaScript, for running it, and the ops page that it serves.
 *
 * Why, when Node runs the TypeScript as it is: its type stripper is a WebAssembly module of its own in every thread, which cost 42 MB of
 * resident memory (118 MB against 76 MB idle, one lane; docs/decisions/0003). Development runs the sources. Takes 50 ms, so it is done at every start.
 */
import { rmSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { writeOpsPage } from './build-ops-page.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Into `dist/<name>`, replacing what is there. */
export async function buildServer(name: string): Promise<void> {
  const outdir = `${root}dist/${name}`;
  rmSync(outdir, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: {
      main: 'src/cli/main.ts',
      'lane-worker': 'src/pool/lane-worker.ts',
      'bench-worker': 'src/cli/bench/worker.ts',
      'bench-ticker-thread': 'src/cli/bench/ticker-thread.ts',
    },
    outdir,
    bundle: true,
    splitting: true, // The commands are loaded when they are asked for.
    format: 'esm',
    platform: 'node',
    target: 'node22',
    packages: 'external',
    legalComments: 'none',
  });
  await writeOpsPage(`${outdir}/ops-page/`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildServer('server');
