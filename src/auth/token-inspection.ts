/**
 * What stands in a token, without any key: for people who want to know why one is refused. Proves nothing.
 *
 * Any thread. Pure.
 */
import { isMap } from '../base/is-map.ts';
import { type GrantClaims, GrantProblem, Grants } from '../protocol/grants.ts';
import { readHead } from './token-verifier.ts';

export interface TokenInspection {
  readonly header: Readonly<Record<string, unknown>> | null;
  readonly claims: Readonly<Record<string, unknown>> | null;
  /** With their placeholders filled in; null where there is no claim of them, or it cannot be read. */
  readonly permissions: GrantClaims | null;
  /** What a relay would refuse it for, as far as that can be seen without keys and rules. */
  readonly problems: readonly string[];
}

export function inspectToken(token: string, permissionsClaim: string, nowMs: number): TokenInspection {
  const problems: string[] = [];
  const head = readHead(token);
  if ('fault' in head) problems.push(head.text);
  const [header, claims] = token.split('.', 2).map(readPart) as [TokenInspection['header'], TokenInspection['claims']];
  if (claims === null || claims === undefined)
    return { header, claims: null, permissions: null, problems: [...problems, 'the claims are no JSON object'] };
  const { sub, exp, nbf, iat } = claims;
  const nowSeconds = nowMs / 1_000;
  if (typeof sub !== 'string' || sub === '') problems.push('sub is missing');
  if (exp === undefined) problems.push('exp is missing (tokenExpRequired)');
  else if (typeof exp !== 'number') problems.push('exp is no number');
  else if (exp <= nowSeconds) problems.push(`expired ${secondsText(nowSeconds - exp)} ago`);
  if (typeof nbf === 'number' && nbf > nowSeconds) problems.push(`not valid before ${secondsText(nbf - nowSeconds)} from now`);
  if (iat === undefined) problems.push('iat is missing (tokenLifetimeMsMax)');
  else if (typeof iat === 'number' && iat > nowSeconds) problems.push(`issued ${secondsText(iat - nowSeconds)} from now`);
  let permissions: GrantClaims | null = null;
  if (!Object.hasOwn(claims, permissionsClaim))
    problems.push(`no claim '${permissionsClaim}': it has the relay's authDefaultPermissions`);
  else {
    try {
      permissions = Grants.compile(claims[permissionsClaim], claims).claims;
    } catch (error) {
      if (!(error instanceof GrantProblem)) throw error;
      problems.push(error.message);
    }
  }
  return { header, claims, permissions, problems };
}

function readPart(part: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return isMap(value) ? value : null;
  } catch {
    return null;
  }
}

function secondsText(seconds: number): string {
  return `${Math.ceil(seconds)} s`;
}
