/** STITCH: joins what was counted, in the order of the parts, into one digest. */
import { serve } from './serve.ts';
import type { Digest, PartCount, Plan } from './types.ts';

const TOP_WORDS = 10;

await serve('stitch', {
  join({ plan, counts }: { plan: Plan; counts: readonly PartCount[] }): Digest {
    const totals = new Map<string, number>();
    const documents = new Map<string, { name: string; parts: number; words: number }>();
    for (const [index, { words }] of counts.entries()) {
      const name = plan.documents[index] as string;
      const document = documents.get(name) ?? { name, parts: 0, words: 0 };
      documents.set(name, document);
      document.parts++;
      for (const [word, count] of Object.entries(words)) {
        document.words += count;
        totals.set(word, (totals.get(word) ?? 0) + count);
      }
    }
    const ranked = [...totals].sort(([word, count], [other, otherCount]) => otherCount - count || (word < other ? -1 : 1));
    return {
      documents: [...documents.values()],
      droppedCount: plan.droppedCount,
      wordCount: ranked.reduce((sum, [, count]) => sum + count, 0),
      distinctCount: ranked.length,
      top: ranked.slice(0, TOP_WORDS),
    };
  },
});
