/** CAST: plans the work. Cuts documents between paragraphs into parts of about the same size, so that instances finish together. */
import { serve } from './serve.ts';
import type { Part, Plan, Sifted } from './types.ts';

const PART_CHARACTERS = 1_500;

await serve('cast', {
  plan({ documents, droppedCount, paceMs }: Sifted): Plan {
    const parts: Part[] = documents.flatMap(({ name, text }) =>
      cut(text).map((piece) => ({ document: name, text: piece, paceMs })),
    );
    return { parts, documents: parts.map(({ document }) => document), droppedCount };
  },
});

/** A paragraph is never cut, however long it is: no word may be counted in halves. */
function cut(text: string): string[] {
  const pieces: string[] = [];
  let piece = '';
  for (const paragraph of text.split(/\n{2,}/)) {
    if (piece !== '' && piece.length + paragraph.length > PART_CHARACTERS) {
      pieces.push(piece);
      piece = '';
    }
    piece += piece === '' ? paragraph : `\n\n${paragraph}`;
  }
  return piece === '' ? pieces : [...pieces, piece];
}
