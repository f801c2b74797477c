/** SIFT: leaves out the documents that have nothing to say on the subject. */
import { ServiceError } from '../../src/client/full.ts';
import { serve } from './serve.ts';
import type { DigestInput, Sifted } from './types.ts';

await serve('sift', {
  filter({ documents, keyword, paceMs = 0 }: DigestInput): Sifted {
    const wanted = keyword.toLowerCase();
    const kept = documents.filter(({ text }) => text.toLowerCase().includes(wanted));
    if (kept.length === 0) throw new ServiceError('NOTHING_LEFT', `no document mentions '${keyword}'`);
    return { documents: kept, droppedCount: documents.length - kept.length, paceMs };
  },
});
