/**
 * Commands on workflows: DEFINE, START and RUN; replies to the lane's own CALLs; the journal's entries after a death.
 *
 * Thread: the lane's.
 */
import { RelayError } from '../../protocol/errors.ts';
import type { MessageHeader } from '../../protocol/header.ts';
import type { LaneContext, OwnTopics } from '../lane-context.ts';

export class WorkflowCommands {
  readonly #lane: LaneContext;
  readonly #topics: OwnTopics;

  constructor(lane: LaneContext, topics: OwnTopics) {
    this.#lane = lane;
    this.#topics = topics;
  }

  define(_header: MessageHeader): void {
    throw notSupported('DEFINE');
  }
  start(_header: MessageHeader): void {
    throw notSupported('START');
  }
  run(_header: MessageHeader): void {
    throw notSupported('RUN');
  }
  /** RUN with a pattern, asked of every lane. */
  query(_header: MessageHeader, query: number): void {
    this.#lane.out.answer(query, []);
  }
  /** REPLY: `bytes[at, end)` holds one or more messages that answer this lane's REQUESTs. */
  replies(_at: number): void {}
  /** JOURNAL: `bytes[at, end)` is one entry as this part wrote it. */
  replay(_at: number): void {}
  /** RESTORE_END: everything is known again, runs may go on. */
  restored(): void {}
  tick(): void {
    void this.#topics;
  }
}

function notSupported(name: string): RelayError {
  return new RelayError('BAD_REQUEST', `${name} is not supported`);
}
