/**
 * Builds the ops page: one script and one style sheet, with uPlot in them, beside the HTML. No address outside of the relay in any of them.
 *
 * `npm start` and `npm run build` write them to dist/server/ops-page/; a relay that runs from its sources builds them in memory when
 * somebody looks (src/app/ops-page.ts).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = `${root}src/ops-page/`;
export const OPS_PAGE_FOLDER = `${root}dist/server/ops-page/`;

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

export async function writeOpsPage(): Promise<void> {
  mkdirSync(OPS_PAGE_FOLDER, { recursive: true });
  for (const [name, bytes] of await bundleOpsPage()) writeFileSync(`${OPS_PAGE_FOLDER}${name}`, bytes);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeOpsPage();
