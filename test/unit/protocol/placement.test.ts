/** Which lane owns a name: the relay's own topics live with what they tell of. */
import t from 'tap';
import { hashBytes } from '../../../src/base/hash.ts';
import { placementHash } from '../../../src/protocol/placement.ts';

const TEXT = new TextEncoder();
const hashOf = (name: string): number => {
  const bytes = TEXT.encode(name);
  return hashBytes(bytes, 0, bytes.length);
};
const placed = (name: string): number => {
  const bytes = TEXT.encode(`xx${name}yy`);
  return placementHash(bytes, 2, bytes.length - 2, hashOf(name));
};

for (const { name, as } of [
  { name: 'room.lobby', as: 'room.lobby' },
  { name: 'service.math', as: 'service.math' },
  { name: '$service.math', as: 'math' },
  { name: '$service.billing.invoice', as: 'billing.invoice' },
  { name: '$workflow.study.r-1', as: 'study' },
  { name: '$workflow.study.monthly.r-1', as: 'study.monthly' },
  { name: '$workflow.study', as: '$workflow.study' },
  { name: '$workflow.', as: '$workflow.' },
  { name: '$service.', as: '$service.' },
  { name: '$service', as: '$service' },
  { name: '$dead.jobs', as: 'jobs' },
  { name: '$dead.jobs.of.today', as: 'jobs.of.today' },
  { name: '$other.x', as: '$other.x' },
]) {
  t.test(`${name} lives where ${as} does`, async (t) => {
    t.equal(placed(name), hashOf(as));
  });
}
