/** The pages made from code say what the code says. */
import t from 'tap';
import { GENERATED_DOCS, renderErrorDocs, staleDocs } from '../../scripts/generate-docs.ts';
import { CLOSE_CODES, WIRE_ERRORS } from '../../src/protocol/codes.ts';

t.test('generated pages are current (npm run docs writes them)', async (t) => {
  t.same(staleDocs(), []);
  t.ok(GENERATED_DOCS.length > 0);
});

t.test('docs/errors.md has a row for every code', async (t) => {
  const page = renderErrorDocs();
  for (const [name, { code }] of [...Object.entries(WIRE_ERRORS), ...Object.entries(CLOSE_CODES)])
    t.match(page, `| ${code} | \`${name}\` |`);
});
