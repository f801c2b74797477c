/** Names and patterns: every rule at both sides of its edge, and `matches` against a model that cannot be wrong in the same way. */
import fc from 'fast-check';
import t from 'tap';
import {
  checkName,
  checkNameText,
  isReserved,
  matches,
  NAME_BYTES_MAX,
  NAME_TOKENS_MAX,
  NameKind,
  nameProblem,
  TOKEN_BYTES_MAX,
} from '../../../src/protocol/names.ts';

const { INVALID, EXACT, PATTERN } = NameKind;
const TEXT = new TextEncoder();
const bytesOf = (spelled: string): number[] => [...Buffer.from(spelled.replaceAll(' ', ''), 'hex')];
/** `count` tokens of one letter. */
const tokens = (count: number): string => Array(count).fill('a').join('.');
/** A name of exactly so many bytes, in as few tokens as can be. */
const ofBytes = (count: number): string => {
  let name = 'a'.repeat(Math.min(count, 64));
  while (name.length < count) name += `.${'a'.repeat(Math.min(64, count - name.length - 1))}`;
  return name;
};

for (const { name, text, want, problem } of [
  { name: 'one byte', text: 'a', want: EXACT },
  { name: 'tokens', text: 'room.lobby.1', want: EXACT },
  { name: 'signs that mean nothing', text: 'a-b_c/d:e@f#g+h(i)~', want: EXACT },
  { name: 'a dollar in front', text: '$service.math', want: EXACT },
  { name: 'a dollar inside', text: 'a.$b.c$', want: EXACT },
  { name: 'a dollar alone', text: '$', want: EXACT },
  { name: 'nothing', text: '', want: INVALID, problem: /empty/ },
  { name: 'a dot', text: '.', want: INVALID, problem: /token must not be empty/ },
  { name: 'a leading dot', text: '.a', want: INVALID, problem: /leading/ },
  { name: 'a trailing dot', text: 'a.', want: INVALID, problem: /trailing/ },
  { name: 'two dots', text: 'a..b', want: INVALID, problem: /double/ },
  { name: 'a space', text: 'a b', want: INVALID, problem: /spaces or control/ },
  { name: 'NUL', text: 'a\u0000', want: INVALID, problem: /spaces or control/ },
  { name: 'a line end', text: 'a\n', want: INVALID, problem: /spaces or control/ },
  { name: 'the last C0 control', text: '\u001f', want: INVALID, problem: /spaces or control/ },
  { name: 'DEL', text: 'a\u007fb', want: INVALID, problem: /spaces or control/ },
  { name: 'the highest ASCII sign', text: '~', want: EXACT },
  { name: 'the first C1 control', text: 'a\u0080', want: INVALID, problem: /UTF-8/ },
  { name: 'the last C1 control', text: '\u009f', want: INVALID, problem: /UTF-8/ },
  { name: 'the first character after them', text: '\u00a0', want: EXACT },
  { name: 'two-byte characters', text: 'größe.ß', want: EXACT },
  { name: 'three-byte characters', text: '日本.語', want: EXACT },
  { name: 'four-byte characters', text: '😀.😀', want: EXACT },
  { name: 'a star', text: '*', want: PATTERN },
  { name: 'stars', text: '*.*.*', want: PATTERN },
  { name: 'a star between', text: 'a.*.c', want: PATTERN },
  { name: 'greater', text: '>', want: PATTERN },
  { name: 'greater at the end', text: 'a.b.>', want: PATTERN },
  { name: 'both', text: '*.b.>', want: PATTERN },
  { name: 'a dollar pattern', text: '$service.>', want: PATTERN },
  { name: 'a star in front of a letter', text: '*a', want: INVALID, problem: /'\*' must be a whole token/ },
  { name: 'a star behind a letter', text: 'a*', want: INVALID, problem: /'\*' must be a whole token/ },
  { name: 'a star behind a letter of a later token', text: 'x.a*.y', want: INVALID, problem: /'\*' must be a whole token/ },
  { name: 'two stars in one token', text: '**', want: INVALID, problem: /'\*' must be a whole token/ },
  { name: 'greater in front', text: '>.a', want: INVALID, problem: /'>' must be the last token/ },
  { name: 'greater in the middle', text: 'a.>.b', want: INVALID, problem: /'>' must be the last token/ },
  { name: 'greater twice', text: 'a.>.>', want: INVALID, problem: /'>' must be the last token/ },
  { name: 'greater behind a letter', text: 'a>', want: INVALID, problem: /'>' must be a whole token/ },
  { name: 'greater with a trailing dot', text: 'a.>.', want: INVALID, problem: /'>' must be the last token/ },
  { name: 'star and greater in one token', text: '*>', want: INVALID, problem: /whole token/ },
  { name: 'a wildcard behind a dot too many', text: 'a..*', want: INVALID, problem: /double/ },
  { name: `${NAME_TOKENS_MAX} tokens`, text: tokens(NAME_TOKENS_MAX), want: EXACT },
  { name: `${NAME_TOKENS_MAX + 1} tokens`, text: tokens(NAME_TOKENS_MAX + 1), want: INVALID, problem: /at most 16 tokens/ },
  { name: `${NAME_TOKENS_MAX} tokens of a pattern`, text: `${tokens(NAME_TOKENS_MAX - 1)}.>`, want: PATTERN },
  {
    name: `${NAME_TOKENS_MAX + 1} tokens of a pattern`,
    text: `${tokens(NAME_TOKENS_MAX)}.>`,
    want: INVALID,
    problem: /at most 16 tokens/,
  },
  { name: `a token of ${TOKEN_BYTES_MAX} bytes`, text: 'a'.repeat(TOKEN_BYTES_MAX), want: EXACT },
  {
    name: `a token of ${TOKEN_BYTES_MAX + 1} bytes`,
    text: 'a'.repeat(TOKEN_BYTES_MAX + 1),
    want: INVALID,
    problem: /at most 64 bytes, got 65/,
  },
  { name: 'a last token of 65 bytes', text: `a.${'b'.repeat(65)}`, want: INVALID, problem: /at most 64 bytes, got 65/ },
  {
    name: 'a token of 63 bytes and a character of 2',
    text: `${'a'.repeat(63)}ß`,
    want: INVALID,
    problem: /at most 64 bytes, got 65/,
  },
  { name: 'a token of 16 characters of 4 bytes', text: '😀'.repeat(16), want: EXACT },
  { name: `${NAME_BYTES_MAX} bytes`, text: ofBytes(NAME_BYTES_MAX), want: EXACT },
  {
    name: `${NAME_BYTES_MAX + 1} bytes`,
    text: ofBytes(NAME_BYTES_MAX + 1),
    want: INVALID,
    problem: /at most 255 bytes, got 256/,
  },
] as { name: string; text: string; want: number; problem?: RegExp }[]) {
  t.test(`a name of ${name} is ${['invalid', 'exact', 'a pattern'][want]}`, async (t) => {
    t.equal(checkNameText(text), want);
    if (problem !== undefined) t.match(nameProblem(), problem);
    // The same inside a larger buffer: neighbours must not matter.
    const inside = Uint8Array.of(0x2e, ...TEXT.encode(text), 0x2e, 0x2e);
    t.equal(checkName(inside, 1, inside.length - 2), want);
  });
}

for (const { name, bytes } of [
  { name: 'a continuation byte alone', bytes: '80' },
  { name: 'a two-byte character that is cut', bytes: 'c3' },
  { name: 'a three-byte character that is cut', bytes: 'e2 82' },
  { name: 'a four-byte character that is cut', bytes: 'f0 9f 98' },
  { name: 'a character cut by a dot', bytes: 'c3 2e 61' },
  { name: 'an overlong slash of two bytes', bytes: 'c0 af' },
  { name: 'an overlong dot of two bytes', bytes: '61 c0 ae 61' },
  { name: 'an overlong star of two bytes', bytes: 'c0 aa' },
  { name: 'the highest overlong form of two bytes', bytes: 'c1 bf' },
  { name: 'an overlong dot of three bytes', bytes: 'e0 80 ae' },
  { name: 'the highest overlong form of three bytes', bytes: 'e0 9f bf' },
  { name: 'an overlong dot of four bytes', bytes: 'f0 80 80 ae' },
  { name: 'the highest overlong form of four bytes', bytes: 'f0 8f bf bf' },
  { name: 'the first surrogate', bytes: 'ed a0 80' },
  { name: 'the last surrogate', bytes: 'ed bf bf' },
  { name: 'a pair of surrogates', bytes: 'ed a0 bd ed b8 80' },
  { name: 'the first code point beyond Unicode', bytes: 'f4 90 80 80' },
  { name: 'a lead byte that never leads', bytes: 'f5 80 80 80' },
  { name: 'a five-byte form', bytes: 'f8 88 80 80 80' },
  { name: 'ff', bytes: 'ff' },
  { name: 'a C1 control', bytes: 'c2 85' },
  { name: 'a second byte that is no continuation', bytes: 'e2 28 a1' },
  { name: 'a third byte that is no continuation', bytes: 'e2 82 28' },
  { name: 'a fourth byte that is no continuation', bytes: 'f0 9f 98 28' },
]) {
  t.test(`a name must be UTF-8: ${name}`, async (t) => {
    const name = Uint8Array.from(bytesOf(bytes));
    t.equal(checkName(name, 0, name.length), INVALID);
    t.match(nameProblem(), /UTF-8/);
  });
}

for (const { name, bytes } of [
  { name: 'the lowest of two bytes', bytes: 'c2 a0' },
  { name: 'the highest of two bytes', bytes: 'df bf' },
  { name: 'the lowest of three bytes', bytes: 'e0 a0 80' },
  { name: 'the last before the surrogates', bytes: 'ed 9f bf' },
  { name: 'the first behind the surrogates', bytes: 'ee 80 80' },
  { name: 'the highest of three bytes', bytes: 'ef bf bf' },
  { name: 'the lowest of four bytes', bytes: 'f0 90 80 80' },
  { name: 'the highest of four bytes', bytes: 'f4 8f bf bf' },
]) {
  t.test(`a character is accepted: ${name}`, async (t) => {
    const name = Uint8Array.from(bytesOf(bytes));
    t.equal(checkName(name, 0, name.length), EXACT);
  });
}

t.test('a cut character does not borrow from what stands behind the name', async (t) => {
  const bytes = Uint8Array.of(0x61, 0xc3, 0xbc);
  t.equal(checkName(bytes, 0, 3), EXACT);
  t.equal(checkName(bytes, 0, 2), INVALID);
});

t.test('names agree with the platform about what UTF-8 is', async () => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const isText = (bytes: Uint8Array): boolean => {
    try {
      return !/[ \p{Cc}]/u.test(decoder.decode(bytes));
    } catch {
      return false;
    }
  };
  const highByte = fc.oneof(fc.integer({ min: 0x80, max: 0xff }), fc.constantFrom(0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0x9f, 0xa0));
  fc.assert(
    fc.property(fc.array(highByte, { minLength: 1, maxLength: 8 }), (raw) => {
      const bytes = Uint8Array.from(raw);
      return (checkName(bytes, 0, bytes.length) !== INVALID) === isText(bytes);
    }),
    { numRuns: 2_000 },
  );
});

for (const { name, text, want } of [
  { name: 'a dollar name', text: '$service.math', want: true },
  { name: 'a dollar further on', text: 'a.$b', want: false },
  { name: 'an ordinary name', text: 'a', want: false },
]) {
  t.test(`isReserved: ${name}`, async (t) => {
    t.equal(isReserved(Uint8Array.of(0x24, ...TEXT.encode(text)), 1), want);
  });
}

for (const { pattern, topic, want } of [
  { pattern: 'a', topic: 'a', want: true },
  { pattern: 'a', topic: 'b', want: false },
  { pattern: 'a.b', topic: 'a', want: false },
  { pattern: 'a', topic: 'a.b', want: false },
  { pattern: '*', topic: 'a', want: true },
  { pattern: '*', topic: 'a.b', want: false },
  { pattern: '*.b', topic: 'a.b', want: true },
  { pattern: 'a.*', topic: 'a.b', want: true },
  { pattern: 'a.*', topic: 'a', want: false },
  { pattern: 'a.*.c', topic: 'a.b.c', want: true },
  { pattern: 'a.*.c', topic: 'a.b.d', want: false },
  { pattern: '>', topic: 'a', want: true },
  { pattern: '>', topic: 'a.b.c', want: true },
  { pattern: 'a.>', topic: 'a', want: false },
  { pattern: 'a.>', topic: 'a.b', want: true },
  { pattern: 'a.>', topic: 'a.b.c.d', want: true },
  { pattern: 'a.>', topic: 'ab.c', want: false },
  { pattern: '*.>', topic: 'a', want: false },
  { pattern: '*.*.>', topic: 'a.b.c', want: true },
  // The relay's own names: only patterns that begin with the same literal token.
  { pattern: '>', topic: '$service.math', want: false },
  { pattern: '*', topic: '$service', want: false },
  { pattern: '*.math', topic: '$service.math', want: false },
  { pattern: '$service.>', topic: '$service.math', want: true },
  { pattern: '$service.*', topic: '$service.math', want: true },
  { pattern: '$other.>', topic: '$service.math', want: false },
  { pattern: '$service', topic: '$service', want: true },
  { pattern: '>', topic: 'a.$b', want: true },
]) {
  t.test(`'${pattern}' ${want ? 'matches' : 'does not match'} '${topic}'`, async (t) => {
    t.equal(matches(pattern, topic), want);
  });
}

t.test('matches agrees with a regular expression made from the pattern', async (t) => {
  /** `*` is one token, a final `>` is the rest; a leading wildcard does not reach `$`. */
  const model = (pattern: string): RegExp => {
    const source = pattern
      .split('.')
      .map((token, index) => {
        const start = index === 0 ? '(?!\\$)' : '';
        if (token === '*') return `${start}[^.]+`;
        if (token === '>') return `${start}.+`;
        return token.replaceAll('$', '\\$');
      })
      .join('\\.');
    return new RegExp(`^${source}$`);
  };
  const token = fc.constantFrom('a', 'b', 'aa', '$a');
  const topic = fc.array(token, { minLength: 1, maxLength: 5 });
  const pattern = fc
    .tuple(fc.array(fc.oneof(token, fc.constant('*')), { maxLength: 4 }), fc.boolean())
    .map(([tokens, open]) => (open || tokens.length === 0 ? [...tokens, '>'] : tokens));
  let matched = 0;
  fc.assert(
    fc.property(pattern, topic, (patternTokens, topicTokens) => {
      const [name, text] = [patternTokens.join('.'), topicTokens.join('.')];
      const want = model(name).test(text);
      if (want) matched++;
      return matches(name, text) === want;
    }),
    { numRuns: 3_000 },
  );
  t.ok(matched > 100, 'enough of them match to mean something');
});
