/** `relay revoke`: takes tokens back before they expire, at a running relay's ops port. Sessions that came in with them are closed at once. */
import process from 'node:process';
import { type Flag, type FlagValues, parse } from './flags.ts';
import { askOps, opsUrl, refusalOf } from './ops-request.ts';

const FLAGS: Readonly<Record<string, Flag>> = {
  'token-id': { type: 'string', about: 'one token, by its jti' },
  subject: { type: 'string', about: 'all tokens of this subject that were issued until now' },
  'issued-before': {
    type: 'string',
    about: 'all that were issued before this time (2026-01-31T12:00:00Z), of --subject or of everybody',
  },
  list: { type: 'boolean', about: 'revoke nothing; print what is revoked' },
  'ops-url': { type: 'string', default: 'http://127.0.0.1:8081', about: "the relay's ops port; RELAY_OPS_TOKEN has its token" },
};

export async function revokeCommand(argv: string[]): Promise<number> {
  const parsed = parse('relay revoke --subject NAME | --token-id ID | --issued-before TIME | --list', FLAGS, argv, [0, 0]);
  if (parsed.kind === 'exit') return parsed.code;
  const { values } = parsed;
  let url: URL;
  let request: object | undefined;
  try {
    url = opsUrl(values['ops-url'] as string, '--ops-url');
    request = values['list'] === true ? undefined : requestOf(values);
  } catch (error) {
    process.stderr.write(`relay: ${(error as Error).message}\n`);
    return 2;
  }
  url.pathname = request === undefined ? '/admin/revocations' : '/admin/revoke';
  try {
    const asked = await askOps(url, request);
    if (asked.status !== 200) throw new Error(refusalOf(asked));
    process.stdout.write(`${asked.text}\n`);
    if ((JSON.parse(asked.text) as { saved?: unknown }).saved !== false) return 0;
    process.stderr.write('relay: it holds, but could not be written to revocationsFile: a restart would forget it\n');
    return 1;
  } catch (error) {
    process.stderr.write(`relay: ${url}: ${(error as Error).message}\n`);
    return 1;
  }
}

function requestOf(values: FlagValues): object {
  const tokenId = values['token-id'];
  const subject = values['subject'];
  const time = values['issued-before'] as string | undefined;
  if (tokenId === undefined && subject === undefined && time === undefined)
    throw new Error('one of --token-id, --subject and --issued-before must be given');
  const issuedBeforeMs = time === undefined ? undefined : Date.parse(time);
  if (Number.isNaN(issuedBeforeMs)) throw new Error(`--issued-before must be a time like 2026-01-31T12:00:00Z, got '${time}'`);
  return { tokenId, subject, issuedBeforeMs }; // What is undefined is not sent.
}
