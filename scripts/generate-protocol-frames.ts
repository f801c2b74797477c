/**
 * Writes the section "Golden frames" of docs/protocol.md from test/fixtures/frames/: one example of every message type, byte by byte.
 * Between the markers only; the rest of the page is written by hand.
 *
 *   node scripts/generate-protocol-frames.ts            writes the section if it is not current
 *   node scripts/generate-protocol-frames.ts --check    writes nothing; exit code 1 if it is not current
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { MESSAGE_SPECS, type MessageSpec } from '../src/protocol/types.ts';
import { backToBack, EXAMPLE_FRAMES, fieldBytes, frameBytes, type GoldenFrame, hex } from '../test/fixtures/frames/index.ts';

const PAGE = new URL('../docs/protocol.md', import.meta.url);
const BEGIN = '<!-- frames:begin -->';
const END = '<!-- frames:end -->';

/** The whole section, markers included. */
export function renderFrames(): string {
  const sections = MESSAGE_SPECS.map((spec) => {
    const frame = EXAMPLE_FRAMES.find((candidate) => candidate.type === spec.name);
    if (frame === undefined) throw new Error(`no example frame of ${spec.name} in test/fixtures/frames/`);
    return renderFrame(spec, frame);
  });
  const pair = EXAMPLE_FRAMES.filter(({ type }) => type === 'HELLO' || type === 'PING');
  return `${BEGIN}
## Golden frames

Generated from \`test/fixtures/frames/\` by \`node scripts/generate-protocol-frames.ts\`; edits are overwritten. Bytes are hexadecimal. There is nothing
between messages: HELLO and PING in one WebSocket message are \`${hex(backToBack(pair))}\`.

${sections.join('\n\n')}
${END}`;
}

function renderFrame(spec: MessageSpec, frame: GoldenFrame): string {
  const rows = frame.fields.map((field) => `| \`${hex(fieldBytes(field))}\` | ${field[1].replaceAll('|', '\\|')} |`);
  return `### ${spec.type} ${frame.name}

Sent by the ${spec.sender}. \`${hex(frameBytes(frame))}\`

| bytes | meaning |
|---|---|
${rows.join('\n')}`;
}

/** The page with the section in its place; at the end where it has none yet. */
export function withFrames(page: string): string {
  const begin = page.indexOf(BEGIN);
  if (begin < 0) return `${page.trimEnd()}\n\n${renderFrames()}\n`;
  const end = page.indexOf(END, begin);
  if (end < 0) throw new Error(`docs/protocol.md has ${BEGIN} but no ${END}`);
  return page.slice(0, begin) + renderFrames() + page.slice(end + END.length);
}

export function isFramesSectionCurrent(): boolean {
  const page = readFileSync(PAGE, 'utf8');
  return withFrames(page) === page;
}

function main(argv: readonly string[]): number {
  if (isFramesSectionCurrent()) return 0;
  if (argv.includes('--check')) {
    console.error('the golden frames of docs/protocol.md are not current: run node scripts/generate-protocol-frames.ts');
    return 1;
  }
  writeFileSync(PAGE, withFrames(readFileSync(PAGE, 'utf8')));
  console.log('docs/protocol.md written');
  return 0;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.exitCode = main(process.argv.slice(2));
