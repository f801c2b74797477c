/** Requests of the commands to a relay's ops port. The token, where the port wants one, is in RELAY_OPS_TOKEN: a flag would be seen by everybody on the machine. */
import process from 'node:process';
import { fetchCause } from '../base/fetch-cause.ts';

const TIMEOUT_MS = 3_000;

export interface OpsAsked {
  readonly status: number;
  readonly text: string;
}

/** Rejects in words for a user where nobody answers. */
export async function askOps(url: URL, body?: object): Promise<OpsAsked> {
  const token = process.env['RELAY_OPS_TOKEN'] ?? '';
  try {
    const response = await fetch(url, {
      redirect: 'error', // The token is for this relay alone.
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        'x-relay-admin': '1',
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    throw new Error((error as Error).name === 'TimeoutError' ? `no answer for ${TIMEOUT_MS / 1_000} s` : fetchCause(error));
  }
}

/** What an answer that is none says, on one line. */
export function refusalOf({ status, text }: OpsAsked): string {
  const advice = status === 401 ? '; set RELAY_OPS_TOKEN' : '';
  return `it answers ${status}: ${text.trim().split('\n')[0]?.slice(0, 200)}${advice}`;
}

/** An address of the ops port, perhaps without its scheme. */
export function opsUrl(text: string, flag: string): URL {
  const url = URL.parse(/^https?:\/\//.test(text) ? text : `http://${text}`);
  if (url === null) throw new Error(`${flag} must be an address like http://127.0.0.1:8081, got '${text}'`);
  return url;
}
