/**
 * Placement: which part of a name decides the lane that owns it.
 *
 * A name's lane comes from the hash of the whole name, but for the relay's own topics: they live with what they tell of, so that the lane that owns
 * a service, a workflow run or a topic with dead letters publishes about it without leaving its thread.
 *
 *   $service.<service>         as <service>
 *   $workflow.<workflow>.<run> as <workflow>
 *   $dead.<name>               as <name>
 *
 * Thread: front (routing). Lanes use it through `placementHash` in assertions only.
 */
import { hashBytes } from '../base/hash.ts';

const DOLLAR = 0x24;
const DOT = 0x2e;
const TEXT = new TextEncoder();
export const SERVICE_TOPIC_PREFIX = '$service.';
export const WORKFLOW_TOPIC_PREFIX = '$workflow.';
export const DEAD_LETTER_TOPIC_PREFIX = '$dead.';
const SERVICE_PREFIX = TEXT.encode(SERVICE_TOPIC_PREFIX);
const WORKFLOW_PREFIX = TEXT.encode(WORKFLOW_TOPIC_PREFIX);
const DEAD_LETTER_PREFIX = TEXT.encode(DEAD_LETTER_TOPIC_PREFIX);

/** Hot (one comparison for a client's name). The hash that decides the lane of `bytes[start, end)`; `nameHash` is that of the whole name. */
export function placementHash(bytes: Uint8Array, start: number, end: number, nameHash: number): number {
  return bytes[start] === DOLLAR ? ownPlacementHash(bytes, start, end, nameHash) : nameHash;
}

function ownPlacementHash(bytes: Uint8Array, start: number, end: number, nameHash: number): number {
  if (beginsWith(bytes, start, end, SERVICE_PREFIX)) return hashBytes(bytes, start + SERVICE_PREFIX.length, end);
  if (beginsWith(bytes, start, end, DEAD_LETTER_PREFIX)) return hashBytes(bytes, start + DEAD_LETTER_PREFIX.length, end);
  if (!beginsWith(bytes, start, end, WORKFLOW_PREFIX)) return nameHash;
  const nameStart = start + WORKFLOW_PREFIX.length;
  let runDot = end - 1;
  while (runDot > nameStart && bytes[runDot] !== DOT) runDot--;
  return runDot > nameStart ? hashBytes(bytes, nameStart, runDot) : nameHash; // `$workflow.x` is no run's topic.
}

function beginsWith(bytes: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
  if (end - start <= prefix.length) return false;
  for (let index = 0; index < prefix.length; index++) if (bytes[start + index] !== prefix[index]) return false;
  return true;
}
