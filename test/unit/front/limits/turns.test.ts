/** Turns: a share for each connection, a bound for all, order within a connection, and nobody is forgotten. */
import t from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import type { HeldMessages } from '../../../../src/front/limits/held-messages.ts';
import { type TurnOptions, Turns } from '../../../../src/front/limits/turns.ts';
import { OPEN, Session } from '../../../../src/front/session.ts';

const OPTIONS: TurnOptions = {
  commandsPerTurnMax: 40,
  commandsPerTurnTotalMax: 100,
  commandsWaitingBytesMax: 10_000,
  commandsWaitingBytesTotalMax: 20_000,
  heldBytesMax: 500,
};

/** Commands of one byte each; what a session's is, its number says, and the byte counts. */
class Rig {
  readonly turns: Turns;
  /** `session:value`, in the order in which they were handled. */
  readonly handled: string[] = [];
  isBehind = false;
  readonly #steps: (() => void)[] = [];
  #count = 0;

  constructor(options: Partial<TurnOptions> = {}) {
    this.turns = new Turns(
      { ...OPTIONS, ...options },
      (step) => void this.#steps.push(step),
      (step) => void this.#steps.push(step),
      () => this.isBehind,
      (session, held) => this.#handleHeld(session, held),
      () => undefined,
    );
  }

  open(internal = false): Session {
    const connection = {
      remoteAddress: 'test',
      send: () => 1,
      ping: () => undefined,
      bufferedBytes: () => 0,
      close: () => undefined,
      terminate: () => undefined,
    };
    return new Session(++this.#count, connection, internal, OPEN, 0, 0);
  }

  /** As the front does: what the turn allows now, the rest for later. The bound that it met. */
  send(session: Session, values: readonly number[]): string | null {
    const bytes = Uint8Array.from(values);
    this.turns.enter(session);
    const at = session.held === null ? this.#handle(session, bytes, 0, bytes.length) : 0;
    return at < bytes.length ? this.turns.hold(session, bytes, at, bytes.length, 0) : null;
  }

  /** One turn ends; what was handled since the last call. False where nothing was scheduled. */
  turn(): boolean {
    const steps = this.#steps.splice(0);
    for (const step of steps) step();
    return steps.length > 0;
  }

  taken(): string[] {
    return this.handled.splice(0);
  }

  #handle(session: Session, bytes: Uint8Array, at: number, end: number): number {
    while (at < end && this.turns.mayHandle(session)) {
      this.turns.spend(session, 1);
      this.handled.push(`${session.number}:${bytes[at]}`);
      at++;
    }
    return at;
  }

  #handleHeld(session: Session, held: HeldMessages): void {
    while (!held.isEmpty && this.turns.mayHandle(session)) {
      this.turns.advance(held, this.#handle(session, held.memory, held.firstStart, held.firstEnd));
    }
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index % 256);
const countBy = (handled: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const entry of handled) counts[entry.split(':')[0] as string] = (counts[entry.split(':')[0] as string] ?? 0) + 1;
  return counts;
};

t.test('a share at once, the rest turn by turn, in order', async (t) => {
  const rig = new Rig();
  const session = rig.open();
  t.equal(rig.send(session, upTo(100)), null);
  t.equal(rig.handled.length, 40);
  rig.turn();
  t.equal(rig.handled.length, 80);
  rig.turn();
  t.same(
    rig.handled,
    upTo(100).map((value) => `1:${value}`),
  );
  t.equal(session.held, null);
  t.equal(rig.turns.heldBytes, 0);
  rig.turn();
  t.equal(rig.turn(), false, 'a relay that is at rest schedules nothing');
});

t.test('what comes behind something that waits, waits behind it', async (t) => {
  const rig = new Rig();
  const session = rig.open();
  rig.send(session, upTo(50));
  rig.send(session, [200, 201]);
  t.equal(rig.handled.length, 40);
  rig.turn();
  t.same(rig.handled.slice(-3), ['1:49', '1:200', '1:201']);
});

t.test('one command of somebody else is handled in the turn in which it comes, whatever floods', async (t) => {
  const rig = new Rig({ commandsWaitingBytesMax: 100_000, commandsWaitingBytesTotalMax: 100_000 });
  const flooder = rig.open();
  const other = rig.open();
  for (let round = 0; round < 50; round++) {
    rig.send(flooder, upTo(200));
    rig.taken();
    rig.send(other, [round]);
    t.same(rig.taken(), [`2:${round}`]);
    rig.turn();
  }
});

t.test('many who flood share what all may have, a few commands each in turn', async (t) => {
  const rig = new Rig({ commandsWaitingBytesTotalMax: 1_000_000 });
  const flooders = Array.from({ length: 10 }, () => rig.open());
  for (const flooder of flooders) rig.send(flooder, upTo(200));
  t.equal(rig.taken().length, 100, 'the bound of all');
  const late = rig.open();
  rig.send(late, [7]);
  t.same(rig.taken(), [], 'nothing is left of this turn');
  const counts: Record<string, number> = {};
  let lateTurn = 0;
  for (let turn = 1; turn <= 19; turn++) {
    rig.turn();
    const handled = rig.taken();
    t.ok(handled.length <= 100, 'no turn has more');
    if (handled.includes('11:7')) lateTurn = turn;
    for (const [number, count] of Object.entries(countBy(handled))) counts[number] = (counts[number] ?? 0) + count;
  }
  t.ok(lateTurn >= 1 && lateTurn <= 4, `one command among ten floods had its turn after ${lateTurn}`);
  const shares = flooders.map(({ number }) => counts[number] ?? 0);
  t.ok(Math.max(...shares) - Math.min(...shares) <= 80, `shares ${shares}`);
});

t.test('while a lane is behind, who has waited gets one round in a turn', async (t) => {
  const rig = new Rig();
  const [one, two] = [rig.open(), rig.open()];
  for (const session of [one, two]) rig.send(session, upTo(200));
  rig.taken();
  rig.isBehind = true;
  rig.turn();
  t.same(countBy(rig.taken()), { 1: 32, 2: 32 });
  rig.turn();
  t.same(countBy(rig.taken()), { 1: 32, 2: 32 });
  rig.isBehind = false;
  rig.turn();
  t.same(countBy(rig.taken()), { 1: 40, 2: 40 });
});

t.test('the relay’s own sessions are not held back', async (t) => {
  const rig = new Rig();
  const internal = rig.open(true);
  rig.send(internal, upTo(250));
  t.equal(rig.taken().length, 250);
  const session = rig.open();
  rig.send(session, [1]);
  t.same(rig.taken(), [], 'they count for the turn all the same');
  rig.turn();
  t.same(rig.taken(), ['2:1']);
});

t.test('bounds: of one, of all, and while something is decided', async (t) => {
  const rig = new Rig();
  const [one, two, three] = [rig.open(), rig.open(), rig.open()];
  t.equal(rig.send(one, upTo(9_900)), null);
  t.equal(rig.send(one, upTo(100)), 'commandsWaitingBytesMax');
  t.equal(rig.send(two, upTo(9_900)), null);
  t.equal(rig.send(three, upTo(9_900)), 'commandsWaitingBytesTotalMax');
  rig.turns.forget(one);
  t.equal(rig.send(three, upTo(9_900)), null, 'who is gone makes room');
  const other = new Rig();
  const four = other.open();
  other.turns.block(four);
  t.equal(other.send(four, upTo(400)), null);
  t.equal(other.send(four, upTo(40)), 'heldBytesMax', 'each message counts 64 bytes more than it has');
});

t.test('blocked: nothing is handled until it is decided, then at once', async (t) => {
  const rig = new Rig();
  const session = rig.open();
  rig.turns.block(session);
  rig.send(session, [1, 2, 3]);
  rig.send(session, [4]);
  for (let turn = 0; turn < 3; turn++) rig.turn();
  t.same(rig.taken(), []);
  rig.turns.release(session);
  t.same(rig.taken(), ['1:1', '1:2', '1:3', '1:4']);
  t.equal(session.held, null);
  rig.turns.block(session);
  rig.turns.release(session);
  t.equal(session.held, null, 'nothing had come');
});

t.test('blocked and released with more than a share: the rest in later turns', async (t) => {
  const rig = new Rig();
  const session = rig.open();
  rig.turns.block(session);
  rig.send(session, upTo(100));
  rig.turns.release(session);
  t.equal(rig.taken().length, 40);
  rig.turn();
  rig.turn();
  t.equal(rig.taken().length, 60);
});

for (let seed = 1; seed <= 30; seed++) {
  t.test(`everything is handled once and in order, whoever sends how much (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed);
    const rig = new Rig({
      commandsPerTurnMax: prng.nextInt(1, 50),
      commandsPerTurnTotalMax: prng.nextInt(50, 120),
      commandsWaitingBytesMax: 1_000_000,
      commandsWaitingBytesTotalMax: 1_000_000,
      heldBytesMax: 1_000_000,
    });
    const sessions = Array.from({ length: prng.nextInt(1, 12) }, () => rig.open());
    const sent = new Map<number, number>();
    const blocked = new Set<Session>();
    for (let step = 0; step < 200; step++) {
      const session = prng.pick(sessions);
      const roll = prng.nextFloat();
      if (roll < 0.6) {
        const from = sent.get(session.number) ?? 0;
        const count = prng.pick([1, 1, 3, 90]);
        rig.send(
          session,
          Array.from({ length: count }, (_, index) => (from + index) % 256),
        );
        sent.set(session.number, from + count);
      } else if (roll < 0.65) {
        rig.turns.block(session);
        blocked.add(session);
      } else if (roll < 0.7) {
        for (const other of blocked) rig.turns.release(other);
        blocked.clear();
      } else rig.turn();
    }
    for (const other of blocked) rig.turns.release(other);
    for (let turn = 0; turn < 5_000 && rig.turn(); turn++);
    for (const session of sessions) {
      const own = rig.handled
        .filter((entry) => entry.startsWith(`${session.number}:`))
        .map((entry) => Number(entry.split(':')[1]));
      const want = Array.from({ length: sent.get(session.number) ?? 0 }, (_, index) => index % 256);
      if (own.length !== want.length || own.some((value, index) => value !== want[index]))
        return t.fail(`session ${session.number}`);
      t.equal(session.held, null);
    }
    t.equal(rig.turns.heldBytes, 0);
    t.equal(rig.turns.waitingCount, 0);
  });
}
