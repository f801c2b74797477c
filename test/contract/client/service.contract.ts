/**
 * What the full client promises of services against every relay: one suite, called by each combination.
 * Uses real time and only what docs/protocol.md promises, so the real relay can stand in for the small one.
 */
import type { Test } from 'tap';
import type { CallContext, FullClient } from '../../../src/client/full.ts';
import { type ClientUnderTest, contractTests } from './client.contract.ts';

const ECHO = { echo: (payload: unknown) => payload };
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const code = (codeName: string, more: object = {}): Error => ({ codeName, ...more }) as unknown as Error;

export async function serviceContract(t: Test, open: () => Promise<ClientUnderTest<FullClient>>): Promise<void> {
  const test = contractTests(t, open);

  await test('a call reaches a method with payload, headers and deadline, and brings its result', async (t, {
    prefix,
  }, client) => {
    const [server, caller] = [await client({ client: 'server' }), await client({ client: 'caller' })];
    const seen: Partial<CallContext>[] = [];
    const handlers = {
      describe: (payload: unknown, { service, method, headers, deadlineMs, caller }: CallContext) => {
        seen.push({ service, method, headers, deadlineMs, caller });
        return { payload, bytes: Uint8Array.of(1, 2) };
      },
    };
    const name = `${prefix}.call`;
    await server.service(name, handlers, { version: '1.0.0' }).ready();
    const result = await caller.call(name, 'describe', [1, 'two'], { deadlineMs: 5_000, headers: { trace: 'x' } });
    t.same(result, { payload: [1, 'two'], bytes: Uint8Array.of(1, 2) });
    t.match(seen, [{ service: name, method: 'describe', headers: { trace: 'x' }, caller: 'caller' }]);
    const leftMs = seen[0]?.deadlineMs as number;
    t.ok(leftMs > 1_000 && leftMs <= 5_000, `what is left of the deadline: ${leftMs}`);
  });

  await test('errors: of the service, of nobody there, of a method that nobody has', async (t, { prefix }, client) => {
    const [server, caller] = [await client(), await client()];
    server.on('error', () => {}); // The unexpected one is reported where it happened, too.
    const ServiceErrorLike = class extends Error {};
    const handlers = {
      fail: () => {
        throw new ServiceErrorLike('it is broken');
      },
    };
    const name = `${prefix}.errors`;
    await t.rejects(caller.call(name, 'fail'), code('NO_RESPONDERS'));
    await server.service(name, handlers, { version: '1.0.0' }).ready();
    await t.rejects(caller.call(name, 'fail'), code('SERVICE_ERROR', { facts: { code: 'INTERNAL', text: 'it is broken' } }));
    await t.rejects(caller.call(name, 'other'), code('NO_RESPONDERS'));
  });

  await test('a call that is aborted or out of time ends at both ends', async (t, { prefix }, client) => {
    const [server, caller] = [await client(), await client()];
    const aborts: Promise<void>[] = [];
    const hang = (_: unknown, { signal }: CallContext) => {
      aborts.push(new Promise((resolve) => signal.addEventListener('abort', () => resolve())));
      return new Promise(() => {});
    };
    const name = `${prefix}.cancel`;
    await server.service(name, { hang }, { version: '1.0.0' }).ready();
    const controller = new AbortController();
    const call = caller.call(name, 'hang', null, { signal: controller.signal });
    while (aborts.length === 0) await sleep(5);
    controller.abort();
    await t.rejects(call, code('CANCELLED'));
    await aborts[0];
    await t.rejects(caller.call(name, 'hang', null, { deadlineMs: 60 }), code('TIMEOUT'));
    await aborts[1];
  });

  await test('a stream comes whole and in order, and runs no further ahead than its window', async (t, { prefix }, client) => {
    const [server, caller] = [await client(), await client()];
    let made = 0;
    const handlers = {
      async *count(to: number) {
        for (let number = 1; number <= to; number++) {
          made = number;
          yield number;
        }
        return 'the end is no part';
      },
    };
    const name = `${prefix}.stream`;
    await server.service(name, handlers, { version: '1.0.0' }).ready();
    const parts: number[] = [];
    let aheadMax = 0;
    for await (const part of caller.callStream<number>(name, 'count', 100, { window: 8 })) {
      if (part % 10 === 0) await sleep(2);
      parts.push(part);
      aheadMax = Math.max(aheadMax, made - part);
    }
    t.same(
      parts,
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
    t.ok(aheadMax <= 16, `the window and what the loop has taken since: ${aheadMax}`);
    await t.rejects(caller.call(name, 'count', 3), code('BAD_REQUEST'), 'a plain call takes no stream');
    let count = 0;
    for await (const part of caller.callStream<number>(name, 'count', 200)) count = part;
    t.equal(count, 200, 'and so with the default window');
  });

  await test('leaving the loop over a stream ends the generator behind it', async (t, { prefix }, client) => {
    const [server, caller] = [await client(), await client()];
    let isEnded = false;
    const handlers = {
      async *forever() {
        try {
          for (let number = 0; ; number++) yield number;
        } finally {
          isEnded = true;
        }
      },
    };
    const name = `${prefix}.break`;
    await server.service(name, handlers, { version: '1.0.0' }).ready();
    for await (const part of caller.callStream<number>(name, 'forever', null, { window: 4 })) if (part === 5) break;
    for (let round = 0; round < 400 && !isEnded; round++) await sleep(5);
    t.ok(isEnded);
    t.same(server.state.name, 'open');
  });

  await test('over cut connections a service comes back, and idempotent calls are made good', async (t, {
    prefix,
    cutAll,
  }, client) => {
    const [server, caller] = [await client(), await client()];
    const name = `${prefix}.cuts`;
    const slowEcho = async (payload: unknown, { signal }: CallContext) => {
      await sleep(15);
      return signal.aborted ? 'nobody hears this' : payload;
    };
    const service = server.service(name, { slowEcho }, { version: '1.0.0' });
    await service.ready();
    const calls = Array.from({ length: 30 }, async (_, index) => {
      await sleep(index * 5);
      if (index === 8 || index === 20) cutAll();
      for (;;) {
        try {
          return await caller.call(name, 'slowEcho', index, { idempotent: true });
        } catch (error) {
          // Until the service is back; nothing but what may be tried again is expected.
          if (!(error as { retryable: boolean }).retryable) throw error;
          await sleep(10);
        }
      }
    });
    t.same(
      await Promise.all(calls),
      Array.from({ length: 30 }, (_, index) => index),
    );
    t.equal(service.state.name, 'registered');
  });

  await test('stop lets calls in flight finish and takes no new ones', async (t, { prefix }, client) => {
    const [server, caller] = [await client(), await client()];
    const name = `${prefix}.stop`;
    let release = (): void => {};
    const handlers = { wait: () => new Promise<string>((resolve) => (release = () => resolve('done'))) };
    const service = server.service(name, handlers, { version: '1.0.0' });
    await service.ready();
    const call = caller.call(name, 'wait');
    while (service.inFlightCount === 0) await sleep(2);
    const stopped = service.stop();
    await sleep(30);
    t.equal(service.state.name, 'stopping');
    await t.rejects(caller.call(name, 'wait'), code('NO_RESPONDERS'));
    release();
    t.equal(await call, 'done');
    await stopped;
    t.equal(service.state.name, 'stopped');
    await server.service(name, ECHO, { version: '1.1.0' }).ready();
    t.equal(await caller.call(name, 'echo', 'again'), 'again', 'the name is free again');
  });

  await test('services shows what is registered', async (t, { prefix }, client) => {
    const [server, caller] = [await client({ client: 'shown' }), await client()];
    const name = `${prefix}.list.a`;
    const service = server.service(name, ECHO, { version: '1.2.3', capacity: 7, metadata: { zone: 'b' } });
    await service.ready();
    t.match(await caller.services(`${prefix}.list.*`), [
      { service: name, instances: 1, methods: ['echo'], versions: ['1.2.3'], ok: 1, degraded: 0, failing: 0 },
    ]);
    service.setHealth('failing');
    service.setLoad(0.5);
    await server.ping();
    const [shown] = await caller.services(name, { instances: true });
    t.match(shown, {
      failing: 1,
      list: [{ client: 'shown', version: '1.2.3', capacity: 7, metadata: { zone: 'b' }, health: 'failing', load: 0.5 }],
    });
    t.same(await caller.services(`${prefix}.none.>`), []);
  });
}
