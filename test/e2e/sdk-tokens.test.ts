/** The SDK with tokens against a relay that asks for them: refreshed in place, expired, bad, revoked, and with fewer rights than before. */
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { type ClientState, createClient, type FullClient, type TokenProblem } from '../../src/client/full.ts';
import { type RelayProcess, type RelaySettings, relayProgram, startRelay } from '../support/relay-process.ts';
import { Reader, untilState } from '../support/sdk.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { testKey } from '../support/tokens.ts';

const key = testKey('HS256');
const EVERYTHING = { pub: ['>'], sub: ['>'], hist: ['>'], pres: ['>'], call: ['>'], serve: ['>'] };
const HOUR_S = 3_600;

const startLocked = (t: Test, settings: RelaySettings = {}): Promise<RelayProcess> =>
  startRelay(t, { lanes: 1, authKeys: [key.entry], tokenLeewayMs: 0, ...settings });

function tokenOf(subject: string, lifeS: number, rights: object = EVERYTHING, more: object = {}): Promise<string> {
  const nowS = Math.floor(Date.now() / 1_000);
  return key.sign({ sub: subject, jti: randomUUID(), iat: nowS, exp: nowS + lifeS, relay: rights, ...more });
}

/** A client of somebody, what its token function does next, and what was told about it. */
class Somebody {
  readonly client: FullClient;
  readonly states: ClientState[] = [];
  readonly problems: TokenProblem[] = [];
  refreshedCount = 0;
  fetchCount = 0;
  fetch: () => Promise<string>;
  #waiters: { holds(): boolean; resolve(): void }[] = [];

  constructor(t: Test, url: string, fetch: () => Promise<string>) {
    this.fetch = fetch;
    const token = (): Promise<string> => {
      this.fetchCount++;
      return this.fetch();
    };
    this.client = createClient({ url, token, reconnect: { baseMs: 10, capMs: 100 } });
    this.client.on('state', (state) => this.#note(() => this.states.push(state)));
    this.client.on('token-refreshed', () => this.#note(() => this.refreshedCount++));
    this.client.on('token-problem', (problem) => this.#note(() => this.problems.push(problem)));
    t.teardown(() => this.client.close({ timeoutMs: 0 }));
  }

  static async open(t: Test, url: string, fetch: () => Promise<string>): Promise<Somebody> {
    const somebody = new Somebody(t, url, fetch);
    await somebody.client.connect();
    return somebody;
  }

  get connectCount(): number {
    return this.states.filter(({ name }) => name === 'connecting').length;
  }

  /** Resolves as soon as it holds; asked again whenever the client tells anything. */
  until(holds: (somebody: Somebody) => boolean): Promise<void> {
    if (holds(this)) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ holds: () => holds(this), resolve }));
  }

  #note(change: () => void): void {
    change();
    for (const waiter of this.#waiters.filter(({ holds }) => holds())) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.resolve();
    }
  }
}

t.test('one connection outlives its tokens, and nobody on it notices', async (t) => {
  const relay = await startLocked(t);
  const ann = await Somebody.open(t, relay.url, () => tokenOf('ann', 3));
  t.equal(ann.client.subject, 'ann');
  const lifeMs = (ann.client.tokenExpiresAtMs as number) - Date.now();
  t.ok(lifeMs > 1_000 && lifeMs <= 3_000, `${lifeMs} ms`);
  const reader = await Reader.open(ann.client, 'room');
  let published = 0;
  let isOver = false;
  const refreshed = ann.until(({ refreshedCount }) => refreshedCount === 3).then(() => (isOver = true));
  while (!isOver) await ann.client.publish('room', ++published);
  await refreshed;
  await reader.until(({ messages }) => messages.length === published);
  t.same(
    reader.offsets,
    Array.from({ length: published }, (_, index) => index + 1),
  );
  t.same([ann.connectCount, ann.problems, reader.losses], [1, [], []]);
  t.equal(ann.fetchCount, 4, 'one for HELLO, one for each refresh');
  t.ok((ann.client.tokenExpiresAtMs as number) > Date.now());
  t.equal(await relay.metric('relay_commands_expired_total'), 0);
});

t.test('the issuer is down for longer than the token lives: what is published waits, and nothing is missed', async (t) => {
  const relay = await startLocked(t, { tokenGraceMs: 1_500 });
  const ben = await Somebody.open(t, relay.url, () => tokenOf('ben', HOUR_S));
  const ann = await Somebody.open(t, relay.url, () => tokenOf('ann', 2));
  const reader = await Reader.open(ann.client, 'room');
  const down = new Error('the issuer is down');
  ann.fetch = () => Promise.reject(down);
  await ann.until(({ problems }) => problems.length === 1);
  t.match(ann.problems, [{ error: down, attempt: 0 }]);
  const own: Promise<unknown>[] = [];
  while ((await relay.metric('relay_commands_expired_total')) === 0) {
    own.push(ann.client.publish('room', own.length));
    await ben.client.publish('room', 'before');
  }
  await ben.client.publish('room', 'in the grace time');
  await reader.until(({ payloads }) => payloads.includes('in the grace time'));
  t.equal(ann.client.state.name, 'open', 'it still listens');
  await ann.until(({ states }) => states.some((state) => state.name === 'waiting' && state.closeCode === 4501));
  await ben.client.publish('room', 'while away');
  ann.fetch = () => tokenOf('ann', HOUR_S);
  await Promise.all(own);
  await reader.until(({ payloads }) => payloads.includes(own.length - 1) && payloads.includes('while away'));
  t.same(reader.losses, []);
  t.same(
    reader.offsets,
    reader.offsets.map((_, index) => (reader.offsets[0] as number) + index),
    'every message once, in order',
  );
  t.same(
    reader.payloads.filter((payload) => typeof payload === 'number'),
    own.map((_, index) => index),
    'what was published before, and what waited',
  );
});

t.test('rights that a refresh takes away end the subscription and the instance, and no reconnect tries them again', async (t) => {
  const relay = await startLocked(t);
  const proxy = await TcpProxy.start(t, relay.port);
  const ben = await Somebody.open(t, relay.url, () => tokenOf('ben', HOUR_S));
  const ann = await Somebody.open(t, proxy.url, () => tokenOf('ann', 2));
  const options = { version: '1.0.0' };
  const [kept, lost] = [await Reader.open(ann.client, 'kept'), await Reader.open(ann.client, 'lost')];
  const pattern = await Reader.open(ann.client, 'lost.>');
  const service = ann.client.service('lost', { run: () => 1 }, options);
  await service.ready();
  const told: unknown[] = [];
  ann.client.on('error', (error) => told.push(error));
  const ends = [lost, pattern].map(({ subscription }) => new Promise((resolve) => subscription.on('error', resolve)));
  const rights = { ...EVERYTHING, sub: { allow: ['>'], deny: ['lost', 'lost.>'] }, serve: [] };
  ann.fetch = () => tokenOf('ann', HOUR_S, rights);
  t.match(await Promise.all(ends), [{ codeName: 'FORBIDDEN' }, { codeName: 'FORBIDDEN' }]);
  while (service.state.name !== 'stopped') await ann.client.ping();
  t.match(service.state, { name: 'stopped', error: { codeName: 'FORBIDDEN' } });
  t.match(told, [{ codeName: 'FORBIDDEN' }], 'nobody waited for the service, so the client tells of it');

  await t.rejects(ann.client.subscribe('lost').ready(), {
    codeName: 'FORBIDDEN',
    facts: { right: 'sub', name: 'lost' },
  } as never);
  const denied = async () => [await relay.metric('relay_denied_total'), await relay.metric('relay_lane_denied_total')];
  const deniedBefore = await denied();
  proxy.cut();
  await ann.until(({ connectCount }) => connectCount === 2);
  await untilState(ann.client, 'open');
  await ben.client.publish('lost', 'for others');
  await ben.client.publish('kept', 'for ann');
  await kept.until(({ payloads }) => payloads.includes('for ann'));
  t.same(lost.payloads, []);
  t.same(await denied(), deniedBefore, 'nothing was tried that is not permitted');
});

t.test('tokens that are no good end it: a fixed one at once, those of a function at the second', async (t) => {
  const relay = await startLocked(t);
  const wrongKey = testKey('HS256', 'nobody knows it');
  const nowS = Math.floor(Date.now() / 1_000);
  const bad = () => wrongKey.sign({ sub: 'eve', iat: nowS, exp: nowS + HOUR_S, relay: EVERYTHING });
  const eve = new Somebody(t, relay.url, bad);
  await t.rejects(eve.client.connect(), {
    codeName: 'UNAUTHENTICATED',
    message: /2 fresh tokens in a row were refused/,
  } as never);
  t.equal(eve.fetchCount, 2);
  t.match(eve.client.state, { name: 'closed', code: 4501, final: true });

  for (const { token, codeName } of [
    { token: await bad(), codeName: 'UNAUTHENTICATED' },
    { token: undefined, codeName: 'UNAUTHENTICATED' },
    { token: await tokenOf('ann', -HOUR_S), codeName: 'TOKEN_EXPIRED' },
  ]) {
    const client = createClient({ url: relay.url, ...(token === undefined ? {} : { token }) });
    t.teardown(() => client.close({ timeoutMs: 0 }));
    await t.rejects(client.connect(), { codeName } as never);
    t.match(client.state, { name: 'closed', code: 4501, final: true });
  }
});

t.test('revoked is the end, whatever the token function has', async (t) => {
  const relay = await startLocked(t);
  const ann = await Somebody.open(t, relay.url, () => tokenOf('ann', HOUR_S));
  const ben = await Somebody.open(t, relay.url, () => tokenOf('ben', HOUR_S));
  const loop = ann.client.subscribe('room')[Symbol.asyncIterator]().next();
  const opsUrl = `http://127.0.0.1:${relay.opsPort}`;
  t.match(await relayProgram(t, ['revoke', '--subject', 'ann', '--ops-url', opsUrl]).exited, { code: 0 });
  await t.rejects(loop, { codeName: 'FORBIDDEN', facts: { closeCode: 4505 } } as never);
  t.match(ann.client.state, { name: 'closed', code: 4505, final: true, error: { codeName: 'FORBIDDEN' } });
  t.equal(ann.fetchCount, 1);
  t.ok((await ben.client.ping()) > 0, 'nobody else is meant');
});
