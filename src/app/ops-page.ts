/**
 * Where the ops page's files come from: beside the built relay, or, where it runs from its sources, built at the first look at the page.
 * Thread: main. Read once and kept (120 KB): a relay that nobody looks at does not pay for it.
 */
import { readFile } from 'node:fs/promises';
import type { OpsPageFile } from '../transport/ops-server.ts';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};
/** scripts/build-ops-page.ts writes these. */
const FILES = ['index.html', 'app.js', 'app.css', 'icon.svg'];

let loading: Promise<ReadonlyMap<string, OpsPageFile>> | null = null;

export function opsPageFiles(): Promise<ReadonlyMap<string, OpsPageFile>> {
  loading ??= (import.meta.url.endsWith('.ts') ? build() : read()).then(
    (files) =>
      new Map(
        [...files].map(([name, body]) => [
          name === 'index.html' ? '' : name,
          { contentType: CONTENT_TYPES[name.split('.').at(-1) as string] as string, body },
        ]),
      ),
  );
  loading.catch(() => {
    loading = null; // Whoever mends it need not restart the relay.
  });
  return loading;
}

async function read(): Promise<Map<string, Uint8Array>> {
  const folder = new URL('./ops-page/', import.meta.url);
  return new Map(
    await Promise.all(FILES.map(async (name) => [name, new Uint8Array(await readFile(new URL(name, folder)))] as const)),
  );
}

/** By a computed address, so that no bundler takes the builder into the built relay. */
async function build(): Promise<Map<string, Uint8Array>> {
  const scripts = new URL('../../scripts/', import.meta.url);
  const { bundleOpsPage } = (await import(new URL('build-ops-page.ts', scripts).href)) as {
    bundleOpsPage(): Promise<Map<string, Uint8Array>>;
  };
  return bundleOpsPage();
}
