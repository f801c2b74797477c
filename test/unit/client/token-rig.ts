/** A client with a token function against a scripted relay, for the tests of tokens. */
import type { Test } from 'tap';
import type { Client, TokenProblem } from '../../../src/client/index.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { FakeNet, type FakeSocket } from './harness.ts';

export const LIFE_MS = 100_000;
export const TOKEN_EXPIRED = 114;

/** The client, what the function and the client have told. */
export class Rig {
  readonly net = new FakeNet();
  readonly problems: TokenProblem[] = [];
  refreshedCount = 0;
  fetchCount = 0;
  /** What the token function does next. */
  fetch: () => string | Promise<string> = () => `token-${this.fetchCount}`;
  client!: Client;
  socket!: FakeSocket;
  /** The relay's clock is ahead of ours by this much. */
  skewMs = 0;

  get expiresAtMs(): number {
    return this.net.time.nowMs() + this.skewMs + LIFE_MS;
  }

  /** Connected with a token that has LIFE_MS to live; the relay has told its time. */
  static async open(options: Parameters<FakeNet['client']>[0] = {}, skewMs = 0): Promise<Rig> {
    const rig = new Rig();
    rig.skewMs = skewMs;
    rig.client = rig.net.client({
      token: () => {
        rig.fetchCount++;
        return rig.fetch();
      },
      pingIdleMs: 1e9, // A PING is a question for the time here, not for a sign of life.
      ...options,
    });
    rig.client.on('token-problem', (problem) => rig.problems.push(problem));
    rig.client.on('token-refreshed', () => rig.refreshedCount++);
    void rig.client.connect();
    rig.socket = await rig.net.welcome({ subject: 'ann', expiresAtMs: rig.expiresAtMs });
    await rig.tellTime();
    return rig;
  }

  /** Answers the client's question for the relay's time, which comes first. */
  async tellTime(): Promise<void> {
    const [, id] = await this.socket.readOne(MessageType.PING);
    await this.socket.ok(id, { timeUs: (this.net.time.nowMs() + this.skewMs) * 1_000 });
  }

  /** Until the client asks for a fresh token, which it does in the middle of its range. */
  untilDue(): Promise<void> {
    return this.net.time.advance(LIFE_MS * 0.7);
  }

  /** The REFRESH that the client has sent. */
  async refresh(): Promise<[id: number, token: unknown]> {
    const [, id, token] = await this.socket.readOne(MessageType.REFRESH);
    return [id, token];
  }

  async grant(id: number): Promise<void> {
    await this.socket.ok(id, { expiresAtMs: this.expiresAtMs });
  }

  async end(t: Test): Promise<void> {
    t.equal(await this.net.end(this.client), 0, 'no timer is left behind');
  }
}
