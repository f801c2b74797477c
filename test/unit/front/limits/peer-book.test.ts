/** Subjects and addresses: as long as they have connections, and until their buckets are full again; bounded. */
import t from 'tap';
import { PeerBook } from '../../../../src/front/limits/peer-book.ts';
import { TokenBuckets } from '../../../../src/front/limits/token-buckets.ts';

function open(idlePeersMax = 100, specs = [{ perSecond: 1, burst: 5 }]) {
  const buckets = new TokenBuckets(specs);
  const forgotten = { count: 0 };
  const book = new PeerBook(buckets, idlePeersMax, () => forgotten.count++);
  return { book, buckets, forgotten };
}

t.test('who comes back at once finds his buckets as he left them', async (t) => {
  const { book, buckets } = open();
  const alice = book.enter('alice', 0);
  buckets.spend(alice.row, 0, 5);
  book.leave(alice, 0);
  const again = book.enter('alice', 1_000);
  t.equal(again, alice);
  t.equal(buckets.waitMs(again.row, 0, 1, 1_000), 0);
  t.equal(buckets.waitMs(again.row, 0, 2, 1_000), 1_000);
});

t.test('who has been gone for as long as a bucket takes to be full is forgotten', async (t) => {
  const { book, buckets } = open();
  const alice = book.enter('alice', 0);
  book.enter('alice', 0);
  book.leave(alice, 1_000);
  book.tick(1_000_000);
  t.equal(book.connectionsOf('alice'), 1, 'one connection is left');
  book.leave(alice, 1_000_000);
  book.tick(1_009_999);
  t.equal(book.count, 1);
  book.tick(1_010_000);
  t.equal(book.count, 0);
  t.equal(buckets.count, 0);
});

t.test('idle ones are bounded: the one that has been gone longest goes', async (t) => {
  const { book, forgotten } = open(2);
  for (const [nowMs, key] of ['a', 'b', 'a', 'c'].entries()) book.visit(key, nowMs);
  t.equal(book.count, 2);
  t.equal(forgotten.count, 1);
  t.equal(book.connectionsOf('a'), 0);
  const connected = book.enter('b', 5);
  book.visit('d', 6);
  book.visit('e', 7);
  t.equal(book.count, 3, 'who is connected is not one of them');
  book.leave(connected, 8);
  t.equal(book.count, 2);
});

t.test('without buckets nothing is kept of who has gone', async (t) => {
  const { book } = open(100, []);
  const alice = book.enter('alice', 0);
  book.enter('alice', 0);
  t.equal(book.connectionsOf('alice'), 2);
  book.leave(alice, 0);
  book.leave(alice, 0);
  t.equal(book.count, 0);
  book.visit('bob', 0);
  t.equal(book.count, 0);
});
