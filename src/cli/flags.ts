/** Flags of the small commands, by node:util parseArgs: one table per command gives parsing and help. */
import { parseArgs } from 'node:util';

export interface Flag {
  readonly type: 'string' | 'boolean';
  readonly multiple?: boolean;
  readonly default?: string;
  readonly about: string;
}

export type FlagValues = Readonly<Record<string, string | boolean | string[] | undefined>>;

export type Parsed =
  | { readonly kind: 'ok'; readonly values: FlagValues; readonly positionals: readonly string[] }
  /** Help was asked for, or something was wrong: what to print, and the exit code. */
  | { readonly kind: 'exit'; readonly code: number };

export function parse(
  usage: string,
  flags: Readonly<Record<string, Flag>>,
  argv: readonly string[],
  positionals: readonly [min: number, max: number],
): Parsed {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type, multiple }]) => [name, multiple ? { type, multiple } : { type }]),
  );
  const help = `usage: ${usage}\n${Object.entries(flags)
    .map(
      ([name, flag]) => `  --${name.padEnd(18)} ${flag.about}${flag.default === undefined ? '' : ` (default ${flag.default})`}\n`,
    )
    .join('')}`;
  try {
    const parsed = parseArgs({
      args: [...argv],
      options: { ...options, help: { type: 'boolean' as const } },
      allowPositionals: true,
      strict: true,
    });
    if (parsed.values['help'] === true) {
      process.stdout.write(help);
      return { kind: 'exit', code: 0 };
    }
    const [min, max] = positionals;
    if (parsed.positionals.length < min || parsed.positionals.length > max) {
      throw new Error(`wants ${min === max ? min : `${min} to ${max}`} arguments, got ${parsed.positionals.length}`);
    }
    const defaults = Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, flag.default]));
    return { kind: 'ok', values: { ...defaults, ...parsed.values } as FlagValues, positionals: parsed.positionals };
  } catch (error) {
    process.stderr.write(`relay: ${(error as Error).message}\n${help}`);
    return { kind: 'exit', code: 2 };
  }
}

/** An integer flag, or undefined where it was not given. Throws a text for the user. */
export function integerFlag(values: FlagValues, name: string): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0) throw new Error(`--${name} must be a whole number, got '${text}'`);
  return number;
}
