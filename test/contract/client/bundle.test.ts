/** The built file that users get, against the small relay; and what is in it. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { bundleClient, GZIP_BYTES_MAX } from '../../../scripts/build-client.ts';
import type * as sdk from '../../../src/client/index.ts';
import { clientContract } from './client.contract.ts';
import { MiniRelay } from './mini-relay.ts';

const { code, gzipBytes } = await bundleClient();
const file = `${t.testdir({})}/relay-client.js`;
writeFileSync(file, code);
const bundle = (await import(pathToFileURL(file).href)) as typeof sdk;

t.ok(gzipBytes <= GZIP_BYTES_MAX, `${gzipBytes} bytes gzipped, ${GZIP_BYTES_MAX} allowed`);
t.notMatch(
  new TextDecoder().decode(code),
  /\bfrom\s*["']|\brequire\(|\beval\(|new Function|process\.|node:/,
  'no dependency, no Node, no code made from text',
);
t.same(Object.keys(bundle).sort(), ['CLOSE_CODES', 'Extension', 'RelayError', 'WIRE_ERRORS', 'createClient']);

await clientContract(t, async () => {
  const relay = new MiniRelay({ latencyMs: () => Math.random() * 3 });
  return {
    createClient: bundle.createClient,
    options: { url: 'ws://mini.test', webSocket: relay.WebSocket },
    prefix: 'contract',
    cutAll: () => relay.cutAll(),
    close: async () => {},
  };
});
