/** Authentication as a relay has it: what operators ask of it and are told, and whether it is well. The relays here never listen. */
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { DEFAULTS, type RelayConfig } from '../../../src/app/config-table.ts';
import { Relay } from '../../../src/app/relay.ts';
import { RelayAdmin } from '../../../src/app/relay-admin.ts';
import type { AuthEvent } from '../../../src/auth/auth-events.ts';
import { JsonServer, json } from '../../support/json-server.ts';
import { testKey } from '../../support/tokens.ts';

const key = testKey('HS256');

function open(t: Test, settings: Partial<RelayConfig>) {
  const events: AuthEvent[] = [];
  const config = { ...DEFAULTS, lanes: 0, opsPort: 0, ...settings };
  const relay = new Relay(config, { onAuthEvent: (event) => void events.push(event) });
  t.teardown(() => relay.abandon());
  return { relay, admin: new RelayAdmin(relay), events };
}

t.test('a relay that asks nobody who they are has nothing to revoke, and says so', async (t) => {
  const { relay, admin } = open(t, {});
  t.equal(relay.auth, null);
  const conflict = { status: 409, body: { error: { code: 112, name: 'CONFLICT', text: /no authentication configured/ } } };
  t.match(await admin.revoke({ subject: 'ann' }), conflict);
  t.match(admin.revocations(), conflict);
});

t.test('keys, a key set or an anonymous role: somebody is asked', async (t) => {
  for (const settings of [{ authKeys: [key.entry] }, { jwksUrl: 'https://id.example/keys' }, { anonymousPermissions: {} }])
    t.not(open(t, settings).relay.auth, null);
});

t.test('revoke: the entry, how many sessions it ended, and whether it is kept', async (t) => {
  const { admin, relay, events } = open(t, { authKeys: [key.entry], revocationsMax: 1 });
  t.match(await admin.revoke({ tokenId: 'a' }), {
    status: 200,
    body: { revocation: { kind: 'token', tokenId: 'a' }, sessionsClosed: 0, saved: null },
  });
  t.match(await admin.revoke({ tokenId: 'b' }), {
    status: 507,
    body: { error: { name: 'LIMIT', details: { revocationsMax: 1 } } },
  });
  t.match(await admin.revoke({ tokn: 'b' }), { status: 400, body: { error: { name: 'BAD_REQUEST' } } });
  t.match(admin.revocations(), { status: 200, body: { count: 1, revocationsMax: 1 } });
  t.equal(relay.auth?.metrics.revocationsRefused, 1);
  t.match(events, [{ kind: 'revoked', revocation: { tokenId: 'a' }, sessions: 0 }]);
});

t.test('a revocation that cannot be written holds all the same, and whoever revoked is told', async (t) => {
  const { admin, relay, events } = open(t, { authKeys: [key.entry], revocationsFile: `${t.testdir({})}/missing/revoked.json` });
  t.match(await admin.revoke({ subject: 'ann' }), { status: 200, body: { saved: false } });
  t.ok(relay.auth?.revocations.isRevoked({ subject: 'ann', tokenId: null, issuedAtMs: 1 }));
  t.match(events, [{ kind: 'revoked' }, { kind: 'revocationsNotSaved', reason: /ENOENT/ }]);
});

t.test('keys are read again from where they were; what is not valid changes nothing', async (t) => {
  const path = `${t.testdir({})}/keys.json`;
  writeFileSync(path, JSON.stringify([key.entry]));
  const { relay, events } = open(t, { authKeysFile: path });
  writeFileSync(path, '[{}]');
  t.match(await relay.reload(), [/keys\.json\[0\]: one of secret/]);
  t.equal(relay.auth?.ring.count('configured'), 1);
  writeFileSync(path, JSON.stringify([key.entry, testKey('ES256').entry]));
  t.same(await relay.reload(), []);
  t.equal(relay.auth?.ring.count('configured'), 2);
  t.match(events, [{ kind: 'keysRejected' }, { kind: 'keysReloaded', keys: 2 }]);
});

t.test('health: without any key nobody can come in; with old ones they can', async (t) => {
  const server = await JsonServer.open(t, json({ keys: [testKey('ES256').jwk] }));
  const { relay } = open(t, { jwksUrl: server.url });
  t.match(relay.auth?.health(), [{ name: 'keys', ok: false }]);
  await relay.reload();
  t.match(relay.auth?.health(), [{ name: 'keys', ok: true, detail: '1 keys of the key set, 0 configured' }]);
  server.close();
  await relay.reload();
  t.match(relay.auth?.health(), [{ name: 'keys', ok: true, detail: /which cannot be read now/ }]);
});
