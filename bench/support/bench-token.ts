/** Identity for a relay under measurement: `+auth` behind its name makes it ask for a token, which the load then brings. */
import { createHmac } from 'node:crypto';

/** Opens nothing but relays that benches start on loopback. */
const SECRET = 'only-for-relays-that-benches-start';
const LIFE_SECONDS = 3_600;
/** Some patterns of each kind, as an application would have them; rooms of a bench are `bench.<run>.r<n>`. */
const PERMISSIONS = {
  pub: { allow: ['user.{sub}.>', 'bench.>'], deny: ['bench.admin.>'] },
  sub: { allow: ['user.{sub}.>', 'news.*', 'bench.>'], deny: ['bench.admin.>'] },
  hist: ['bench.>'],
};

export function authFlag(): string {
  return `--auth-keys=${JSON.stringify([{ kid: 'bench', alg: 'HS256', secret: SECRET }])}`;
}

export function benchToken(): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const claims = { sub: 'bench', iat: nowSeconds, exp: nowSeconds + LIFE_SECONDS, relay: PERMISSIONS };
  const signed = `${part({ alg: 'HS256', kid: 'bench' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}
