/**
 * The log port: what the app says about itself, one line each, by pino. Thread: main. Never per message; never payloads or tokens.
 *
 * JSON lines, or text where a person reads them. What must never be logged is redacted by name, whoever passes it.
 */
import { pino } from 'pino';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ['auto', 'json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface Log {
  debug(text: string, facts?: LogFacts): void;
  info(text: string, facts?: LogFacts): void;
  warn(text: string, facts?: LogFacts): void;
  error(text: string, facts?: LogFacts): void;
}
export type LogFacts = Readonly<Record<string, unknown>>;

/** Names of facts that are replaced, at the top and one level down. */
const REDACTED = ['token', 'authorization', 'cookie', 'password', 'secret', 'payload', 'opsToken', 'authKeys', 'jwk', 'jwt'];
/** What stands in the place of a secret: in the log, in the audit log, and where a setting is shown. */
export const CENSOR = '[redacted]';

/** `json`: `{"level":"info","time":"…","msg":"…",…}`. `text`: `2026-01-01T00:00:00.000Z info  text name=value …` */
export function createLog(level: LogLevel, format: Exclude<LogFormat, 'auto'>, write: (line: string) => void): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: CENSOR },
    },
    { write: format === 'json' ? write : (line: string) => write(toText(line)) },
  );
  const at =
    (name: Exclude<LogLevel, 'silent'>) =>
    (text: string, facts: LogFacts = {}): void =>
      logger[name](facts, text);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function toText(line: string): string {
  const { level, time, msg, ...facts } = JSON.parse(line) as { level: string; time: string; msg: string };
  const pairs = Object.entries(facts).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return `${time} ${level.padEnd(5)} ${msg}${pairs.join('')}\n`;
}
