/**
 * A token issuer in one short file: who has logged in gets a token for the relay, good for a minute, with the rights that this application gives to its
 * users. In yours the session cookie says who is asking; here the query does, so that the example needs no login page.
 *
 *   node issuer.ts KEY-FILE [PORT]        KEY-FILE: the private key, a JWK, as `relay token keygen --private` writes it
 */
import { createPrivateKey, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { SignJWT } from 'jose';

const [keyFile = 'issuer.jwk', port = '8090'] = process.argv.slice(2);
/** Short, since nobody has to log in for a fresh one, and a token that is stolen is good for no longer. */
const LIFE_SECONDS = Number(process.env['TOKEN_SECONDS'] ?? 60);

const jwk = JSON.parse(readFileSync(keyFile, 'utf8'));
const key = createPrivateKey({ key: jwk, format: 'jwk' });

function issue(user: string): Promise<string> {
  // Everybody may read and write in the rooms; what stands under a user's name is that user's alone: the relay puts the subject in for {sub}.
  const rights = { sub: ['rooms.*', 'inbox.{sub}'], hist: ['rooms.*', 'inbox.{sub}'], pub: ['rooms.*'] };
  return new SignJWT({ relay: rights })
    .setProtectedHeader({ alg: jwk.alg, kid: jwk.kid })
    .setSubject(user)
    .setJti(randomUUID()) // What a single token can be revoked by.
    .setAudience('relay')
    .setIssuedAt()
    .setExpirationTime(`${LIFE_SECONDS}s`)
    .sign(key);
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://issuer');
  const user = searchParams.get('user');
  if (request.method !== 'POST' || pathname !== '/token' || user === null) {
    response.writeHead(404).end();
    return;
  }
  // A token is a key: no cache may keep it.
  response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end(await issue(user));
});
server.listen(Number(port), '127.0.0.1', () => {
  console.log(`issuing tokens at http://127.0.0.1:${(server.address() as AddressInfo).port}/token`);
});
