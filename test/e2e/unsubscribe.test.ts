/** Leaving a topic: what was published before is not lost with it, and after the OK nothing of it comes. Also where many things happen in one tick. */
import t, { type Test } from 'tap';
import { ERROR, MESSAGE, OK, PING, PUBLISH, RawClient, SUBSCRIBE, UNSUBSCRIBE } from '../support/raw-client.ts';
import { type RelayProcess, startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';

/** Where an answer or a message stands in what a client has received. */
const placeOf = (raw: RawClient, wanted: (message: unknown[]) => boolean): number => raw.messages.findIndex(wanted);

for (const lanes of [2, 0]) {
  const relay = await startRelay(t, { lanes });

  t.test(
    `lanes=${lanes}: publish and unsubscribe in one WebSocket message: the message still comes, before both answers`,
    async (t) => {
      const raw = await RawClient.open(t, relay.port);
      const other = await Reader.open(await openClient(t, relay.url), 'same.tick');
      const { sub } = await raw.ask(SUBSCRIBE, 'same.tick', null);
      const [publish, unsubscribe, publishAgain] = [raw.nextId(), raw.nextId(), raw.nextId()];
      raw.send(
        [PUBLISH, publish, 'same.tick', null, 'while I am here'],
        [UNSUBSCRIBE, unsubscribe, 'same.tick'],
        [PUBLISH, publishAgain, 'same.tick', null, 'when I am gone'],
      );
      t.match(await Promise.all([publish, unsubscribe, publishAgain].map((id) => raw.answer(id))), [[OK], [OK], [OK]]);
      await raw.ask(PING);
      const [message, done, left] = [
        placeOf(raw, ([type]) => type === MESSAGE),
        placeOf(raw, ([type, id]) => type === OK && id === publish),
        placeOf(raw, ([type, id]) => type === OK && id === unsubscribe),
      ];
      t.ok(
        message >= 0 && message < (done as number) && (done as number) < (left as number),
        'message, its OK, the OK of leaving',
      );
      t.same(raw.payloads, ['while I am here'], 'and nothing after that');
      t.equal(raw.messages[message as number]?.[1], sub);
      await other.until(({ messages }) => messages.length === 2);
      t.same(other.payloads, ['while I am here', 'when I am gone'], 'another subscriber gets both');
    },
  );

  t.test(
    `lanes=${lanes}: one client publishes and another leaves at the same moment: the rest of the room misses nothing`,
    async (t) => {
      const raws = await Promise.all(range(1, 10).map(() => RawClient.open(t, relay.port)));
      for (const raw of raws) await raw.ask(SUBSCRIBE, 'crowd', null);
      const [publisher, ...others] = raws as [RawClient, ...RawClient[]];
      for (const [index, leaver] of others.entries()) {
        const [publish, unsubscribe] = [publisher.nextId(), leaver.nextId()];
        publisher.send([PUBLISH, publish, 'crowd', null, index]);
        leaver.send([UNSUBSCRIBE, unsubscribe, 'crowd']);
        await Promise.all([publisher.answer(publish), leaver.answer(unsubscribe)]);
      }
      await Promise.all(raws.map((raw) => raw.ask(PING)));
      t.same(publisher.payloads, range(0, 8), 'who stayed has everything');
      for (const [index, leaver] of others.entries()) {
        const seen = leaver.payloads;
        t.same(seen.slice(0, index), range(0, index - 1), `client ${index} has all from before it left`);
        t.ok(seen.length <= index + 1, 'and at most the one it was racing with');
      }
    },
  );

  for (const name of ['flood', '*.flood', 'any.>']) {
    const topic = name === 'flood' ? 'flood' : 'any.flood';
    t.test(`lanes=${lanes}: no message follows the OK of leaving '${name}' in the middle of a flood`, (t) =>
      leaveInAFlood(t, relay, name, topic),
    );
  }

  t.test(`lanes=${lanes}: the SDK: publish and unsubscribe in one tick`, async (t) => {
    const client = await openClient(t, relay.url);
    const staying = await Reader.open(await openClient(t, relay.url), 'sdk.tick');
    const leaving = await Reader.open(client, 'sdk.tick');
    const published = client.publish('sdk.tick', 'one');
    leaving.subscription.unsubscribe();
    const joining = new Reader(client, 'sdk.tick');
    const publishedToo = client.publish('sdk.tick', 'two');
    const results = await Promise.all([published, publishedToo]);
    t.same(
      results.map(({ offset }) => offset),
      [1, 2],
    );
    await joining.subscription.ready();
    await client.publish('sdk.tick', 'three');
    await Promise.all([joining, staying].map((reader) => reader.until(({ payloads }) => payloads.includes('three'))));
    t.same(staying.payloads, ['one', 'two', 'three'], 'who stayed has all');
    t.same(leaving.payloads, [], 'who left hears nothing');
    t.equal(joining.payloads.at(-1), 'three', 'who came again is there');
    t.same([...joining.losses, ...staying.losses], []);
  });

  for (const name of ['exact', 'pattern.*']) {
    const topic = name === 'exact' ? 'exact' : 'pattern.one';
    t.test(`lanes=${lanes}: come, go and come again to '${name}' in one WebSocket message: all is done, in order`, async (t) => {
      const raw = await RawClient.open(t, relay.port);
      const ids = range(1, 5).map(() => raw.nextId());
      raw.send(...ids.map((id, index) => (index % 2 === 0 ? [SUBSCRIBE, id, name, null] : [UNSUBSCRIBE, id, name])));
      t.match(await Promise.all(ids.map((id) => raw.answer(id))), Array(5).fill([OK]));
      await raw.ask(PUBLISH, topic, null, 'for the last visit');
      t.same(raw.payloads, ['for the last visit']);
    });

    t.test(`lanes=${lanes}: the SDK: leave '${name}' before the relay has answered, and come again`, async (t) => {
      const client = await openClient(t, relay.url);
      const first = client.subscribe(name);
      await client.ping(); // It is on its way.
      const second = client.subscribe(name);
      const inTime = Promise.resolve().then(() => {
        first.unsubscribe();
        second.unsubscribe();
        return new Reader(client, name);
      });
      const reader = await inTime;
      await reader.subscription.ready();
      await client.publish(topic, 'hello');
      await reader.until(({ payloads }) => payloads.includes('hello'));
      t.same(reader.losses, []);
    });
  }

  t.test(`lanes=${lanes}: unsubscribing from what was never subscribed is refused and harms nothing`, async (t) => {
    const raw = await RawClient.open(t, relay.port);
    for (const name of ['never', 'never.*']) t.match(await raw.request(UNSUBSCRIBE, name), [ERROR, Number, 103]);
    t.match(await raw.request(PUBLISH, 'never', null, 1), [OK]);
  });
}

/** Leaves, comes back and leaves again while others publish: each OK is the last word. */
async function leaveInAFlood(t: Test, relay: RelayProcess, name: string, topic: string): Promise<void> {
  const raw = await RawClient.open(t, relay.port);
  const publisher = await RawClient.open(t, relay.port);
  let isFlooding = true;
  const flooding = (async () => {
    while (isFlooding) {
      publisher.send(...range(1, 20).map((number) => [PUBLISH, 0, topic, null, number]));
      await publisher.ask(PUBLISH, topic, null, 0);
    }
  })();
  const visits: { joined: number; left: number }[] = [];
  for (const _ of range(1, 10)) {
    const subscribe = raw.nextId();
    raw.send([SUBSCRIBE, subscribe, name, null]);
    await raw.answer(subscribe);
    await raw.find(
      (message) =>
        message[0] === MESSAGE && raw.messages.indexOf(message) > placeOf(raw, ([type, id]) => type === OK && id === subscribe),
    );
    const unsubscribe = raw.nextId();
    raw.send([UNSUBSCRIBE, unsubscribe, name]);
    await raw.answer(unsubscribe);
    visits.push({
      joined: placeOf(raw, ([type, id]) => type === OK && id === subscribe),
      left: placeOf(raw, ([type, id]) => type === OK && id === unsubscribe),
    });
  }
  isFlooding = false;
  await flooding;
  await raw.ask(PING);
  const strays = raw.messages.filter(
    ([type], place) => type === MESSAGE && !visits.some(({ joined, left }) => joined < place && place < left),
  );
  t.same(strays, [], 'messages came only between the OK of joining and the OK of leaving');
}
