/**
 * Builds the ops page: one script and one style sheet, with uPlot in them, beside the HTML. No address outside of the relay in any of them.
 *
 * They go beside the built relay (scripts/build-server.ts); a relay that runs from its sources builds them in memory when
 * somebody looks (src/app/ops-page.ts).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = `${root}src/ops-page/`;

/** By file name. */
export async function bundleOpsPage(): Promise<Map<string, Uint8Array>> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { app: `${source}main.ts`, 'app-style': `${source}app.css` },
    outdir: 'memory',
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
  });
  const output = (ending: string): Uint8Array => {
    const file = outputFiles.find(({ path }) => path.endsWith(ending));
    if (file === undefined) throw new Error(`esbuild made no ${ending}, only ${outputFiles.map(({ path }) => path).join(', ')}`);
    return file.contents;
  };
  return new Map([
    ['index.html', new Uint8Array(readFileSync(`${source}index.html`))],
    ['icon.svg', new Uint8Array(readFileSync(`${source}icon.svg`))],
    ['app.js', output('app.js')],
    ['app.css', output('app-style.css')],
  ]);
}

/** `folder` with a slash at its end. */
export async function writeOpsPage(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of await bundleOpsPage()) writeFileSync(`${folder}${name}`, bytes);
}
