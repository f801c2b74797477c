/** The log port: what the app says about itself, one line each. Thread: main. Never per message; never payloads or tokens. */

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Log {
  debug(text: string, facts?: LogFacts): void;
  info(text: string, facts?: LogFacts): void;
  warn(text: string, facts?: LogFacts): void;
  error(text: string, facts?: LogFacts): void;
}
export type LogFacts = Readonly<Record<string, string | number | boolean>>;

/** `2026-01-01T00:00:00.000Z info  text name=value …` */
export function lineLog(level: LogLevel, write: (line: string) => void): Log {
  const lowest = LOG_LEVELS.indexOf(level);
  const at =
    (name: LogLevel) =>
    (text: string, facts: LogFacts = {}) => {
      if (LOG_LEVELS.indexOf(name) < lowest) return;
      const pairs = Object.entries(facts).map(
        ([key, value]) => ` ${key}=${typeof value === 'string' ? JSON.stringify(value) : value}`,
      );
      write(`${new Date().toISOString()} ${name.padEnd(5)} ${text}${pairs.join('')}\n`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
