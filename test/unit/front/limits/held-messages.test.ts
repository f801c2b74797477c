/** Held messages come out as they went in, whole or in pieces, whatever the memory does. */
import t from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import { HELD_MESSAGE_BYTES, HeldMessages } from '../../../../src/front/limits/held-messages.ts';

for (let seed = 1; seed <= 30; seed++) {
  t.test(`in order, with borders and stamps, against a list (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed);
    const held = new HeldMessages();
    const model: { bytes: Uint8Array; readonly stampUs: number }[] = [];
    let peak = 0;
    for (let step = 0; step < 600; step++) {
      if (prng.nextBoolean(0.5)) {
        const source = Uint8Array.from({ length: prng.pick([3, 20, 300, 3_000]) }, () => prng.nextInt(0, 255));
        const start = prng.nextInt(0, 2);
        const stampUs = prng.nextUint32();
        held.push(source, start, source.length, stampUs);
        model.push({ bytes: source.slice(start), stampUs });
        source.fill(0xc1);
      } else if (model.length > 0) {
        const first = model[0]!;
        if (held.firstStampUs !== first.stampUs) return t.fail('another stamp');
        const got = held.memory.slice(held.firstStart, held.firstEnd);
        if (Buffer.compare(got, first.bytes) !== 0) return t.fail(`step ${step}: other bytes`);
        const taken = prng.nextBoolean(0.6) ? first.bytes.length : prng.nextInt(0, first.bytes.length);
        held.handledTo(held.firstStart + taken);
        if (taken === first.bytes.length) model.shift();
        else first.bytes = first.bytes.slice(taken);
      }
      if (held.isEmpty !== (model.length === 0)) return t.fail('not as empty as the list');
      const want = model.reduce((sum, { bytes }) => sum + bytes.length + HELD_MESSAGE_BYTES, 0);
      if (held.heldBytes !== want) return t.fail(`counts for ${held.heldBytes} bytes instead of ${want}`);
      peak = Math.max(peak, want);
      if (held.memory.length > Math.max(1_024, 2 * peak)) return t.fail(`${held.memory.length} bytes of memory for ${peak}`);
    }
    t.pass();
  });
}
